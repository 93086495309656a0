"""The first page of an account: what it has, what it used, and what things cost."""
