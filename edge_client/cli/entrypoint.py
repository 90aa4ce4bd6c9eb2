"""Where `splitpoint-edge` starts: light, so that Ctrl-C is heard while the rest is being loaded."""

from partitioner.terminal.entrypoint import start


def main() -> None:
    """Run the command `splitpoint-edge` and exit."""
    start("edge_client.cli.main")
