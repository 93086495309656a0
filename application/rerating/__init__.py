"""Re-ratings of one pipeline: planned, kept in a file, and applied."""
