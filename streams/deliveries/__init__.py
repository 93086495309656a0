"""What is sent to webhooks, and what was tried: the topic of deliveries."""
