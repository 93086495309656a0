"""Who may do what, as the log has it: the topic of access read to its end and followed, and changed without a loss."""
