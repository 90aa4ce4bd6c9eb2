"""Plans written by hand: options, an example, and the board and radio that power it."""

from typing import cast

from partitioner.bundle.bundle import Bundle
from partitioner.devices.device import Device
from partitioner.devices.radio import Radio
from partitioner.devices.thermal import Thermal
from partitioner.estimators.link_estimate import LinkEstimate
from partitioner.network.link import Link
from partitioner.planning.costs import Costs, price
from partitioner.planning.option import Option
from partitioner.planning.plan import Plan, plan
from partitioner.planning.terms import Terms
from partitioner.policy.conditions import Conditions
from partitioner.profiles.profile import Profile
from tests.kit.profiles import codec, make, spread_out

BOARD = Device(
    name="board", title="b", idle_w=2.0, compute_w=6.0,
    thermal=Thermal(ambient_c=20.0, throttle_c=60.0, resistance_c_per_w=10.0,
                    time_constant_s=100.0, power_exponent=2.0),
)  # fmt: skip
RADIO = Radio(
    title="r", upload_w_per_mbps=0.5, download_w_per_mbps=0.1, active_w=1.0, tail_w=0.8, tail_s=0.3
)


def example(**spread: float) -> Plan:
    """Head 60 ms + 2.5 ms encoding; 125,000 bytes up; 4 ms decoding + tail 20 ms; 1,000 bytes down."""
    bundle, profile = make(
        {
            "cloud": (0.0, 0.100, {"raw": codec(500_000)}),
            "cut-01": (0.060, 0.020, {"raw": codec(125_000, 0.0025, 0.004)}),
            "edge": (0.200, 0.0, {"raw": codec(0)}),
        }
    )
    return plan(
        bundle, Link(10e6, 8e6, 0.03), spread_out(profile, spread), spread_out(profile, spread)
    )


def option(cut: str, edge_s: float, upload: float, cloud_s: float, codec: str = "raw") -> Option:
    crosses = cut != "edge"
    return Option(
        cut=cut,
        codec=codec,
        edge_s=edge_s,
        upload_bytes=upload,
        network_s=0.0,
        cloud_s=cloud_s,
        download_bytes=500 if crosses else 0,
        frontier_bytes=int(upload),
        edge_memory_bytes=0,
        cloud_memory_bytes=0,
    )


CLOUD = option("cloud", 0.001, 50_000, 0.004, "jpeg")
MIDDLE = option("cut-05", 0.020, 10_000, 0.003, "q4")
EDGE = option("edge", 0.090, 0, 0.0)


def plan_of(*options: Option) -> Plan:
    nobody = cast(Profile, None)
    return Plan(cast(Bundle, None), Link(1e6, 1e6, 0.0), nobody, nobody, options)


PLAN = plan_of(CLOUD, MIDDLE, EDGE)


def seen(mbit: float, rtt_s: float = 0.01, **more: float | bool | None) -> Conditions:
    return Conditions(LinkEstimate(Link(mbit * 1e6, mbit * 1e6, rtt_s)), **more)  # type: ignore[arg-type]


def costs_of(made: Plan, terms: Terms, cut: str = "cut-01") -> Costs:
    return price(next(o for o in made.options if o.cut == cut), made, terms)
