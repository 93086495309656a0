"""A partition's state: on RocksDB, and in memory."""
