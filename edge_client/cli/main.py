"""The command `splitpoint-edge`: its subcommands."""

from partitioner.terminal import console
from partitioner.terminal.app import new_app

_HOME = "edge_client.cli"

app = new_app(
    {
        "run": f"{_HOME}.run:run",
        "serve": f"{_HOME}.serve:serve",
        "fetch": f"{_HOME}.fetch:fetch",
        "service": f"{_HOME}.service:app",
        "probe": f"{_HOME}.probe:probe",
        "link": f"{_HOME}.link:link",
    },
    help="The edge side of Splitpoint: stream frames, serve programs, emulate links.",
)


@app.callback()
def _commands(_version: console.VersionFlag = False) -> None:
    """The edge side of Splitpoint: stream frames, serve programs, emulate links."""


def main() -> None:
    """Run the command and exit."""
    console.run(app)
