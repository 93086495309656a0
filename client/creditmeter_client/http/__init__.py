"""The meter over HTTP, with the standard library alone."""
