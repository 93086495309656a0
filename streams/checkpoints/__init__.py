"""Copies of partitions' states in a folder or object store, from which another machine goes on."""
