"""`splitpoint export`: a bundle for the engines that people already run."""

from partitioner.terminal.app import new_app

_HOME = "partitioner.cli.export"

app = new_app(
    {"triton": f"{_HOME}.triton:triton"},
    help="Write a bundle's model and tails for other servers than splitpoint-cloud.",
)


@app.callback()
def _commands() -> None:
    """Write a bundle's model and tails for other servers than splitpoint-cloud."""
