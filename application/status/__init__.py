"""The state of a whole pipeline, asked from outside."""
