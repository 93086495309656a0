"""The `creditmeter` command: reads options, calls the use cases of `application`, and prints."""
