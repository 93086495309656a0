"""The way of a recorded command from memory, over the spool, to the transport."""
