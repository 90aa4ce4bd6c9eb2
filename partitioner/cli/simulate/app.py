"""`splitpoint simulate`: what if the link, the load or the fleet were different?"""

from partitioner.cli.simulate.fleet import fleet
from partitioner.cli.simulate.sweep import sweep
from partitioner.cli.simulate.trace import trace
from partitioner.terminal.app import new_app

app = new_app(help="What if the link, the load or the number of devices were different?")
app.command()(sweep)
app.command()(trace)
app.command()(fleet)
