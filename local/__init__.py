"""A Kafka broker and a ClickHouse server for one machine."""
