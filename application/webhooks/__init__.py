"""Webhooks, delivered: from what happened to a message that its receiver has taken."""
