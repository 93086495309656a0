"""Re-ratings: the log replayed with other prices, and the corrections that follow."""
