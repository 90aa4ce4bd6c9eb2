"""The command `splitpoint`: its subcommands, in the order in which one uses them."""

from partitioner.commands.calibrating import calibrate
from partitioner.commands.exiting import exits
from partitioner.commands.exporting import export_heads_command
from partitioner.commands.importing import import_command
from partitioner.commands.planning import plan
from partitioner.commands.profiling import profile
from partitioner.commands.searching import search
from partitioner.commands.simulating import app as simulate
from partitioner.commands.tiering import tiers
from partitioner.commands.verifying import verify
from partitioner.console import VersionFlag, new_app, run

app = new_app(help="Cut a model in two, and choose the cut that is fastest on your link.")
app.command("import")(import_command)
app.command()(verify)
app.command()(calibrate)
app.command()(profile)
app.command()(plan)
app.add_typer(exits, name="exits")
app.command("export-heads")(export_heads_command)
app.add_typer(simulate, name="simulate")
app.command()(search)
app.command()(tiers)


@app.callback()
def _commands(_version: VersionFlag = False) -> None:
    """Cut a model in two, and choose the cut that is fastest on your link."""


def main() -> None:
    """Command line entry."""
    run(app)
