"""The command `splitpoint-cloud`: its subcommands."""

from partitioner.terminal import console
from partitioner.terminal.app import new_app

_HOME = "cloud_server.cli"

app = new_app(
    {
        "serve": f"{_HOME}.serve:serve",
        "cluster": f"{_HOME}.cluster:cluster",
        "health": f"{_HOME}.health:health",
        "devices": f"{_HOME}.devices:app",
        "rollout": f"{_HOME}.rollout:rollout",
    },
    help="The cloud side of Splitpoint: serve the tails of bundles.",
)


@app.callback()
def _commands(_version: console.VersionFlag = False) -> None:
    """The cloud side of Splitpoint: serve the tails of bundles."""


def main() -> None:
    """Run the command."""
    console.run(app)
