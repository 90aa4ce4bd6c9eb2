"""Where `splitpoint-cloud` starts: light, so that Ctrl-C is heard while the rest is being loaded."""

from partitioner.terminal.entrypoint import start


def main() -> None:
    """Run the command `splitpoint-cloud` and exit."""
    start("cloud_server.cli.main")
