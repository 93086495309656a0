"""Kafka, the running half: commands in, acknowledged outputs and written state out."""
