"""Commands about events and rows: emit, rate, query, dead-letters."""
