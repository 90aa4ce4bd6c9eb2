"""The defaults of the server's address, stated once. It imports little, so that `--help` is fast."""

LISTEN = "127.0.0.1:50051"
"""Of the command `serve`, and of those that ask it."""

ROLLOUTS_FILE = ".rollouts.json"
"""Beside the bundles, where the server keeps its roll-outs unless it is told of another file."""
