"""What an account has used, and why: history, aggregation, exports. No request replays the log."""
