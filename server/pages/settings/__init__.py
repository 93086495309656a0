"""What an owner manages: webhooks, keys, members and links; and the list of who changed what."""
