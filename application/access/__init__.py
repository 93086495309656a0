"""Who may do what: API keys, members, links and sessions, and the list of who changed what."""
