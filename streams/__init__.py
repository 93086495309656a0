"""Kafka, the running half: commands in, acknowledged outputs and written state out."""

import metering.compiled  # noqa: F401 - first of all: it decides how the modules below are loaded
