"""Request bodies: read within bounds, decompressed, and parsed so that every mistake can be named."""
