"""One account's state at an offset of the log, and what a job would cost it."""
