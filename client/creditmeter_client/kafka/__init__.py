"""Straight to Kafka, and from it: `pip install 'creditmeter-client[kafka]'`."""

from creditmeter_client.kafka.reader import BilledBatch, BilledReader, Position
from creditmeter_client.kafka.transport import KafkaTransport

__all__ = ["BilledBatch", "BilledReader", "KafkaTransport", "Position"]
