"""Commands that change an account: made, sent to the log, and waited for."""
