"""Price books: read from files, compared, and published into the log."""
