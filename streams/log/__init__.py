"""Topics, reading and sending: on Kafka, and in memory."""
