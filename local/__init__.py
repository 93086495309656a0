"""A Kafka broker and a ClickHouse server for one machine. See README.md in this folder."""
