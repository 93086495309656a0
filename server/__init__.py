"""HTTP in front of the pipeline (SERVER.md): parses requests, calls `application`, answers."""
