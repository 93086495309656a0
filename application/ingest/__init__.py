"""Events and holds as they come one request at a time: stored, with receipts, and waited for until they are decided."""
