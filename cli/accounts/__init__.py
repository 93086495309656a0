"""Commands about one customer: account, grant, refund, explain, estimate."""
