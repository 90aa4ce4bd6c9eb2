"""The command `splitpoint`: its subcommands, in the order in which one uses them."""

from partitioner.cli.calibrate import calibrate
from partitioner.cli.compare import compare
from partitioner.cli.devices import devices
from partitioner.cli.exits import exits
from partitioner.cli.export_heads import export_heads_command
from partitioner.cli.import_model import import_command
from partitioner.cli.plan import plan
from partitioner.cli.profile import profile
from partitioner.cli.search import search
from partitioner.cli.show import show
from partitioner.cli.simulate.app import app as simulate
from partitioner.cli.tiers import tiers
from partitioner.cli.verify import verify
from partitioner.terminal.app import new_app
from partitioner.terminal.console import VersionFlag, run

app = new_app(help="Cut a model in two, and choose the cut that is fastest on your link.")
app.command("import")(import_command)
app.command()(show)
app.command()(verify)
app.command()(calibrate)
app.command()(profile)
app.command()(plan)
app.command()(compare)
app.command()(devices)
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
