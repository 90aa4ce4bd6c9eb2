"""`splitpoint simulate`: what if the link, the load or the fleet were different?"""

from partitioner.commands.simulating.fleeting import fleet
from partitioner.commands.simulating.sweeping import sweep
from partitioner.commands.simulating.tracing import trace
from partitioner.console import new_app

app = new_app(help="What if the link, the load or the number of devices were different?")
app.command()(sweep)
app.command()(trace)
app.command()(fleet)
