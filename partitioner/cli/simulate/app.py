"""`splitpoint simulate`: what if the link, the load or the fleet were different?"""

from partitioner.terminal.app import new_app

_HOME = "partitioner.cli.simulate"

app = new_app(
    {
        "sweep": f"{_HOME}.sweep:sweep",
        "trace": f"{_HOME}.trace:trace",
        "fleet": f"{_HOME}.fleet:fleet",
    },
    help="What if the link, the load or the number of devices were different?",
)
