"""The operations under /v1, and what they share: routes, ids in paths, problems."""
