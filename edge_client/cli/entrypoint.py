"""The entry point of `splitpoint-edge`. It imports little, so that Ctrl-C works from the start."""

from partitioner.terminal.entrypoint import start


def main() -> None:
    """Run the command `splitpoint-edge` and exit."""
    start("edge_client.cli.main")
