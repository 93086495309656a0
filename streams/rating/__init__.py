"""The rating worker: input messages into outputs and state."""
