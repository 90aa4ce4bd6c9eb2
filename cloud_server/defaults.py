"""Where the server is, stated once; light, so that `--help` can show it."""

LISTEN = "127.0.0.1:50051"
"""Of the command `serve`, and of those that ask it."""
