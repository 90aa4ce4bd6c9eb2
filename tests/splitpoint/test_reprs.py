"""What a notebook shows of anything that a user may hold: short, whatever it is made of."""

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from edge_client.frames.result import ServedBy, Timings
from partitioner.bundle.bundle import Bundle
from partitioner.estimators.link_estimate import LinkEstimate
from partitioner.exits.ladder import climb_down
from partitioner.network.link import Link
from partitioner.network.trace_files import read_trace
from partitioner.planning.constraints import deadline
from partitioner.planning.plan import Plan, plan
from partitioner.planning.selection import select
from partitioner.policy.conditions import Conditions
from partitioner.policy.policy import decide
from partitioner.policy.settings import PolicySettings
from partitioner.profiles.profiler import measure_profile
from partitioner.simulation.comparison import compare_policies
from partitioner.simulation.pipeline import Setup
from partitioner.simulation.sweep import parse_grid, sweep
from protos.errors import UnreachableError
from splitpoint import AsyncEdgeClient, CloudServer, EdgeClient, Result

ROOT = Path(__file__).parent.parent.parent
DIGITS = ROOT / "examples" / "digits" / "bundle"
LIMIT = 500
TABLE_LIMIT = 1500
"""Of what `print` shows of those that have a table."""


@pytest.fixture(scope="module")
def digits() -> Bundle:
    """The example's bundle: 17 cuts, calibrated, with exits."""
    return Bundle.load(DIGITS)


@pytest.fixture(scope="module")
def made(digits: Bundle) -> Plan:
    profile = measure_profile(digits, budget_s=0.5)
    return plan(digits, Link(3e6, 3e6, 0.015), profile.scaled(28), profile)


def of_a_bundle(digits: Bundle, made: Plan) -> Iterator[object]:
    assert digits.calibration is not None
    assert digits.exits is not None
    yield from (digits, digits.manifest, digits.cut("cut-04"), digits.graph)
    calibration, exits = digits.calibration, digits.exits
    yield from (calibration, calibration.meta, calibration.ranges)
    yield from (exits, exits.meta, *exits.by_cut.values(), *climb_down(exits))
    yield from (made.edge, made.edge.machine, *made.edge.cuts.values())


def of_a_plan(digits: Bundle, made: Plan) -> Iterator[object]:
    yield from (made, made.link, *made.options, *made.switches())
    chosen = select(made, constraints=[deadline(1.0)])
    yield from (chosen, chosen.terms, chosen.objective, *chosen.candidates)
    seen = Conditions(LinkEstimate(made.link))
    yield from (seen, decide(made, seen, None, 0.0), PolicySettings())


def of_a_simulation(digits: Bundle, made: Plan) -> Iterator[object]:
    trace = read_trace(ROOT / "examples" / "traces" / "tram.txt").filled(0.05)
    setup = Setup(trace, 0.2, 4, 10.0, seed=0)
    yield from (trace, setup)
    for run in compare_policies(made, setup, 10, PolicySettings()):
        yield from (run, run.passages[-1])
    swept = sweep(made, parse_grid("0.1mbit:100mbit:50", "5ms:200ms:10", "1", "1:16:5", None))
    yield from (swept, swept.grid, *swept.standings)


KINDS = {"bundle": of_a_bundle, "plan": of_a_plan, "simulation": of_a_simulation}


@pytest.mark.parametrize("kind", KINDS)
def test_repr_and_str_are_short(kind: str, digits: Bundle, made: Plan) -> None:
    of: Callable[[Bundle, Plan], Iterator[object]] = KINDS[kind]
    for found in of(digits, made):
        for shown, limit in ((repr(found), LIMIT), (str(found), TABLE_LIMIT)):
            assert len(shown) <= limit, f"{type(found).__name__}: {len(shown)}: {shown[:200]}…"
            assert " at 0x" not in shown


def test_reprs_say_what_one_asks_of_them_first(digits: Bundle, made: Plan) -> None:
    assert repr(digits) == f"<Bundle digits: 17 cuts, calibrated, at {DIGITS}>"
    assert "<th>digits</th>" in digits._repr_html_()
    assert len(digits._repr_html_()) <= TABLE_LIMIT
    link = "3.00 Mbit/s up, 3.00 Mbit/s down, RTT 15.0 ms"
    start = f"<Plan of digits on {link}: {len(made.options)} options, best {made.best.label} in "
    assert repr(made).startswith(start)
    assert repr(made.best).startswith(f"<Option {made.best.label}: ")
    assert "scaled by 28" in repr(made.edge)
    assert repr(select(made)).startswith(f"<Selection of {made.best.label} in ")


def test_result_shows_shapes_and_who_served_it(digits: Bundle) -> None:
    frame = np.zeros(digits.inputs[0].sized(), np.uint8)
    with EdgeClient(cloud=None, bundle=digits, cut="edge") as client:
        result = client.infer(frame)
        shown = repr(client)
    assert "<td>latency</td>" in result._repr_html_()
    assert len(result._repr_html_()) <= TABLE_LIMIT
    assert shown == "<EdgeClient of digits with no server: edge>"
    (output,) = digits.outputs
    assert repr(result).startswith("<Result of frame 0, served by edge, edge in ")
    assert repr(result).endswith(f": {output.name} float32[1, 10]>")


def test_result_of_a_frame_that_the_cloud_failed_says_why(digits: Bundle) -> None:
    frame = np.zeros(digits.inputs[0].sized(), np.uint8)
    link = Link(1e6, 1e6, 0.01)
    with EdgeClient(cloud="127.0.0.1:9", bundle=digits, cut="cut-04", link=link) as client:
        result: Result = client.infer(frame)
        assert "127.0.0.1:9, which is away: cut-04/raw on 1.00 Mbit/s up" in repr(client)
    assert "served by edge (" in repr(result)
    assert len(repr(result)) <= LIMIT


def test_failed_result_says_what_it_failed_with() -> None:
    error = UnreachableError("nobody is there.")
    failed = Result(
        0, {}, ServedBy.NONE, "", "cut-04", "q4", 900, 0, Timings(0.25, 0.05), error=error
    )
    wanted = "<Result of frame 0, served by none, cut-04/q4 in 250 ms: failed: nobody is there.>"
    assert repr(failed) == wanted


def test_client_that_has_not_connected_says_what_it_will_do(digits: Bundle) -> None:
    client = AsyncEdgeClient("127.0.0.1:9", digits, "cut-04")
    assert repr(client) == "<AsyncEdgeClient of digits with 127.0.0.1:9: cut-04/raw>"


def test_server_says_where_it_listens() -> None:
    server = CloudServer(DIGITS)
    assert repr(server) == f"<CloudServer of {DIGITS}, not running>"
    with server:
        assert repr(server) == f"<CloudServer of {DIGITS} on {server.address}>"
