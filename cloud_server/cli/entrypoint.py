"""The entry point of `splitpoint-cloud`. It imports little, so that Ctrl-C works from the start."""

from partitioner.terminal.entrypoint import start


def main() -> None:
    """Run the command `splitpoint-cloud` and exit."""
    start("cloud_server.cli.main")
