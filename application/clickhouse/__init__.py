"""ClickHouse for the use cases: a server, the loader that holds the embedded store, or its folder."""
