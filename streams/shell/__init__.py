"""Faust: consumer group, fetching and commits, and nothing else."""
