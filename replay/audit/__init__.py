"""Audits: outputs, rows, views and states compared with a replay of the log."""
