"""`size_fleet`: machines against exhaustive search, bills by hand, and when none is needed."""

import json
from dataclasses import replace
from functools import partial

import pytest

from partitioner.network.link import Link
from partitioner.network.trace import Trace
from partitioner.planning.plan import Plan, plan
from partitioner.profiles.profile import Profile, StageProfile, Timing
from partitioner.reports.simulations.machines import sizing_text
from partitioner.simulation.demand import demands_of
from partitioner.simulation.fleet.simulator import run_within
from partitioner.simulation.sizing import search
from partitioner.simulation.sizing.engine import MeasuredRequest, ServingEngine
from partitioner.simulation.sizing.layout import Layout, Workload
from partitioner.simulation.sizing.load import ALONE, Batching, FleetLoad, MachineKind, Sampling
from partitioner.simulation.sizing.sized_fleet import Fate, engine_cells
from protos.errors import UnknownNameError, UsageError
from tests.kit.profiles import EXAMPLE, make

LINK = Link(10e6, 10e6, 0.01)
LOAD = FleetLoad(devices=300, fps=1.0, p99_s=0.28)
FRAMES = 1500
PRICED = MachineKind(cores=8, price_hour=0.5, price_gb=0.1)


def engine(name: str, fixed_s: float, **more: object) -> ServingEngine:
    rows = (MeasuredRequest(tail_s=0, request_bytes=0, request_cpu_s=fixed_s),)
    return ServingEngine.model_validate({"name": name, "measured": rows} | more)


size_fleet = partial(search.size_fleet, sampling=Sampling(frames=FRAMES))
TWO = tuple(
    MeasuredRequest(tail_s=0, request_bytes=0, request_cpu_s=cost) for cost in (0.019, 0.021)
)
LEAN, DEAR = engine("lean", 0.001), engine("dear", 0.02)


@pytest.fixture(scope="module")
def example() -> Plan:
    """On the edge a frame takes 0.3 s; of the others cut-01 takes 0.071 s of a worker, the cloud's 0.1."""
    bundle, profile = make(EXAMPLE)
    return plan(bundle, LINK, profile.scaled(3), profile)


@pytest.mark.parametrize("pooled", [False, True])
def test_machines_are_those_of_exhaustive_search(example: Plan, pooled: bool) -> None:
    asked = engine("dear", 0.02, pooled=pooled)
    found = size_fleet(example, LINK, LOAD, PRICED, [asked], options="cut-01/raw")
    (sized,) = found.engines
    demand = demands_of(example)["cut-01/raw"]
    layout = Layout.of(asked, Workload(demand, 1, 0), PRICED, ALONE)
    assert layout
    assert layout.processes > 1

    def keeps(machines: int) -> bool:
        fleet = layout.fleet(-(-LOAD.devices // machines), LOAD, Trace.constant(LINK), FRAMES)
        return all(run_within(fleet, LOAD.p99_s, 0, run) for run in range(3))

    assert sized.machines == next(filter(keeps, range(1, LOAD.devices)))
    assert sized.p99
    assert sized.p99.mean <= LOAD.p99_s


def test_engine_that_costs_less_needs_fewer_machines_and_the_bill_is_theirs(example: Plan) -> None:
    found = size_fleet(example, LINK, LOAD, PRICED, [DEAR, LEAN], options="cut-01/raw")
    lean, dear = found.engines
    assert (lean.engine, dear.engine) == ("lean", "dear")
    assert lean.machines < dear.machines
    # 10 kB up and 1 kB down for each of 300 frames a second.
    traffic = 0.1 * 11e3 * 300 * 3600 * 730 / 1e9
    assert lean.cost_a_month == pytest.approx(lean.machines * 365 + traffic)
    told = json.loads(json.dumps(found.to_dict()))
    assert [one["engine"] for one in told["engines"]] == ["lean", "dear"]
    assert told["engines"][0]["processes"] == lean.processes
    assert "lean" in str(found)
    assert found._repr_html_().count("<tr>") == 3


def test_machines_that_cost_nothing_are_as_few_as_without_a_price(example: Plan) -> None:
    both = ["cloud/raw", "cut-01/raw"]  # the first is the faster one alone, and computes more
    for price_hour in (None, 0.0):
        machine = MachineKind(cores=8, price_hour=price_hour)
        found = size_fleet(example, LINK, LOAD, machine, [DEAR, LEAN], options=both)
        alone = [
            size_fleet(example, LINK, LOAD, machine, [LEAN], options=one).engines[0].machines
            for one in both
        ]
        assert found.engines[0].engine == "lean"
        assert found.engines[0].machines == min(alone) < max(alone)


def test_lost_machine_leaves_as_many_as_are_needed(example: Plan) -> None:
    plain, spared = (
        size_fleet(
            example, LINK, LOAD, replace(PRICED, spare=spare), [LEAN], options="cut-01/raw"
        ).engines[0]
        for spare in (0, 1)
    )
    assert spared.machines == plain.machines + 1
    assert plain.degraded_p99 is None
    assert spared.degraded_p99
    assert plain.p99
    assert spared.degraded_p99.mean == plain.p99.mean <= LOAD.p99_s
    assert spared.p99
    assert spared.p99.mean <= spared.degraded_p99.mean


def test_engine_whose_figures_are_too_far_off_may_need_more_machines_than_there_can_be(
    example: Plan,
) -> None:
    rows = [engine("wide", cost).measured[0] for cost in (0.001, 0.004)]
    wide = ServingEngine.model_validate({"name": "wide", "measured": rows})
    (sized,) = size_fleet(
        example, LINK, replace(LOAD, p99_s=0.2), PRICED, [wide], options="cut-01/raw"
    ).engines
    assert sized.least
    assert sized.least <= sized.machines
    assert sized.most is None
    assert f"({sized.least}–∞)" in engine_cells(sized)[2]


def test_process_has_no_more_workers_than_its_turns_keep_busy(example: Plan) -> None:
    work = Workload(demands_of(example)["cut-01/raw"], 1, 0)

    def layout(cores: int, processes: int | None, **more: object) -> tuple[int, int]:
        asked = engine("dear", 0.02, **more)
        machine = MachineKind(cores, processes=processes)
        found = Layout.of(asked, work, machine, ALONE)
        assert found
        return found.processes, found.workers

    # A request takes 91 ms, of which 20 take turns: 70 % of the turns are those of 3 workers.
    assert layout(6, None) == (2, 3)
    assert layout(8, None) == (4, 2)  # as many workers in each
    assert layout(8, 1) == (1, 3)  # five cores have nothing to do
    assert layout(8, 1, turns=0.0) == (1, 8)
    assert layout(8, 2, pooled=True) == (2, 6)
    assert layout(2, 5) == (2, 1)


def test_batches_spare_machines_where_the_engine_has_them(example: Plan) -> None:
    one_by_one = engine("one by one", 0.001, batches=False)
    found = size_fleet(
        example, LINK, replace(LOAD, p99_s=0.6), PRICED, [LEAN, one_by_one],
        options="cut-01/raw", batching=Batching(4, 0.3),
    )  # fmt: skip
    assert [one.engine for one in found.engines] == ["lean", "one by one"]
    assert found.engines[0].machines < found.engines[1].machines


def test_devices_that_keep_the_bound_alone_need_no_machine(example: Plan) -> None:
    for p99_s, enough in ((0.31, True), (0.28, False)):
        found = size_fleet(example, LINK, replace(LOAD, devices=20, p99_s=p99_s), PRICED, [LEAN])
        assert found.edge_is_enough is enough
        assert found.kept


def test_engine_that_cannot_says_why(example: Plan) -> None:
    def fate(load: FleetLoad, machine: MachineKind, one: ServingEngine = LEAN) -> Fate:
        return size_fleet(example, LINK, load, machine, [one], options="cut-01/raw").engines[0].fate

    assert fate(replace(LOAD, p99_s=0.05), PRICED) is Fate.LATE
    assert fate(replace(LOAD, fps=50.0), PRICED) is Fate.BEHIND
    large = engine("large", 0.001, process_bytes=2e9)
    assert fate(LOAD, replace(PRICED, memory_bytes=10**9), large) is Fate.CRAMPED
    assert fate(LOAD, replace(PRICED, memory_bytes=10**9)) is Fate.KEPT  # not known of this one


def noisy(profile: Profile) -> Profile:
    """The profile with times from half of their medians to 1.8 times them."""

    def vary(found: StageProfile | None) -> StageProfile | None:
        if found is None:
            return None
        median_s = found.timing.median_s
        timing = Timing(median_s=median_s, p10_s=median_s / 2, p90_s=1.8 * median_s, repeats=25)
        return found.model_copy(update={"timing": timing})

    cuts = {
        name: cut.model_copy(update={"head": vary(cut.head), "tail": vary(cut.tail)})
        for name, cut in profile.cuts.items()
    }
    return profile.model_copy(update={"cuts": cuts})


def test_noisy_profile_is_said_and_leaves_open_what_its_noise_may_hide(example: Plan) -> None:
    bundle, profile = make(EXAMPLE)
    loud = noisy(profile)
    shaken = plan(bundle, LINK, loud.scaled(3), loud)
    # Six devices, so that no process has to wait; the median and its error decide between them.
    load = FleetLoad(devices=6, fps=0.5, p99_s=0.4)
    calm, torn = (size_fleet(one, LINK, load, PRICED, [LEAN]) for one in (example, shaken))
    assert not calm.is_noisy
    assert torn.is_noisy
    assert calm.edge
    assert calm.edge.within_s is None
    assert torn.edge
    assert torn.edge.within_s
    head = shaken.edge.cuts["edge"].head
    assert head
    # With steady times a frame takes the median, and by the error of that less.
    assert torn.edge.within_s[0] == pytest.approx(0.3 - head.error_s, rel=0.01)
    assert torn.edge.within_s[0] < 0.4 < torn.edge.p99_s < torn.edge.within_s[1]
    assert "as far as such noisy profiles tell" in sizing_text(torn)
    assert "devices alone may keep it, or not" in sizing_text(torn)
    assert "noisy" not in sizing_text(calm)
    assert "Devices alone keep it" in sizing_text(calm)
    # The more machines may be needed, or the fewer, the noisier the profile.
    spans = []
    for one in (example, shaken):
        more = replace(LOAD, p99_s=0.8)
        (sized,) = size_fleet(one, LINK, more, PRICED, [engine("two", 0.02, measured=TWO)],
                              options="cut-01/raw").engines  # fmt: skip
        assert sized.least
        assert sized.most is None or sized.least <= sized.machines <= sized.most
        spans.append((sized.most or load.devices * 100) / sized.least)
    assert spans[1] > spans[0]


def test_numbers_without_meaning_are_refused(example: Plan) -> None:
    for wrong in (
        lambda: FleetLoad(0, 1.0, 1.0),
        lambda: FleetLoad(1, 0.0, 1.0),
        lambda: FleetLoad(1, 1.0, float("nan")),
        lambda: MachineKind(0),
        lambda: MachineKind(1, price_hour=-1.0),
        lambda: MachineKind(1, spare=-1),
        lambda: MachineKind(1, processes=0),
        lambda: Batching(0),
        lambda: Sampling(frames=5),
        lambda: size_fleet(example, LINK, LOAD, PRICED, []),
    ):
        with pytest.raises(UsageError):
            wrong()
    with pytest.raises(UnknownNameError, match="cut-01"):
        size_fleet(example, LINK, LOAD, PRICED, [LEAN], options="cut-1/raw")
