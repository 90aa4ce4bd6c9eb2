"""The command `splitpoint`: its subcommands, in the order in which one uses them."""

from partitioner.terminal.app import new_app
from partitioner.terminal.console import VersionFlag, run

_HOME = "partitioner.cli"

app = new_app(
    {
        "import": f"{_HOME}.import_model:import_command",
        "show": f"{_HOME}.show:show",
        "verify": f"{_HOME}.verify:verify",
        "calibrate": f"{_HOME}.calibrate:calibrate",
        "profile": f"{_HOME}.profile:profile",
        "plan": f"{_HOME}.plan:plan",
        "compare": f"{_HOME}.compare:compare",
        "devices": f"{_HOME}.devices:devices",
        "exits": f"{_HOME}.exits:exits",
        "export-heads": f"{_HOME}.export_heads:export_heads_command",
        "export": f"{_HOME}.export.app:app",
        "keygen": f"{_HOME}.signatures.keygen:keygen",
        "sign": f"{_HOME}.signatures.sign:sign",
        "permit-rollback": f"{_HOME}.signatures.permit_rollback:permit_rollback",
        "simulate": f"{_HOME}.simulate.app:app",
        "search": f"{_HOME}.search:search",
        "tiers": f"{_HOME}.tiers:tiers",
    },
    help="Cut a model in two, and choose the cut that is fastest on your link.",
)


@app.callback()
def _commands(_version: VersionFlag = False) -> None:
    """Cut a model in two, and choose the cut that is fastest on your link."""


def main() -> None:
    """Command line entry."""
    run(app)
