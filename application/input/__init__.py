"""Files of events, NDJSON and access logs, read into commands."""
