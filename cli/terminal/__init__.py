"""What all commands share: options, output, progress and exit codes."""
