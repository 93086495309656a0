"""Pages for a customer's people, and for support: HTML made here, on the same use cases as the API (SERVER 5)."""
