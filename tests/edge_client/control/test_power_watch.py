"""Battery and heat on the running edge: where they are read, and what then happens to cut and pace."""

from functools import partial
from typing import Any

import pytest

from edge_client.client.async_client import AsyncEdgeClient
from edge_client.control.controller import Controller
from edge_client.control.offer import Limits
from edge_client.control.power_sources import PowerSource
from edge_client.control.power_watch import FIXED, Power, PowerWatch, why_unweighed
from edge_client.frames.stages import Stages
from edge_client.sources.paced_frames import Limited
from edge_client.telemetry.observer import Observer
from partitioner.bundle.bundle import Bundle
from partitioner.devices.device import Device
from partitioner.devices.radio import Radio
from partitioner.estimators.circuit_breaker import Breaker
from partitioner.planning.objective import Objective
from partitioner.planning.plan import Plan
from partitioner.planning.terms import Terms
from partitioner.policy.power_rules import NO_POWER_DEMAND, PowerDemand, PowerRules, Reading, Rule
from partitioner.policy.settings import PolicySettings
from partitioner.runtime.sessions import RuntimeOptions
from protos.errors import FileError, UsageError
from protos.names import EDGE
from protos.telemetry import read_snapshot
from tests.kit.clients import follow, loaded
from tests.kit.clocks import FakeClock
from tests.kit.fake_cloud import FakeCloud
from tests.kit.frames import frames
from tests.kit.power import LOW, RULES

THIRSTY = Terms(
    device=Device(title="d", idle_w=0.0, compute_w=1.0),
    radio=Radio(title="r", upload_w_per_mbps=100.0, download_w_per_mbps=0.0, active_w=0.0),
)


class Gauge:
    """Tells what a test says, or fails."""

    name = "the gauge"

    def __init__(self, **reading: Any) -> None:
        self.reading = Reading(**reading)
        self.error: str | Exception | None = None

    def read(self) -> Reading:
        if self.error:
            raise self.error if isinstance(self.error, Exception) else FileError(self.error)
        return self.reading


def watched(
    *sources: PowerSource, time: FakeClock
) -> tuple[PowerWatch, list[str], list[PowerDemand]]:
    said: list[str] = []
    heard: list[PowerDemand] = []
    power = Power(sources, RULES, said.append)
    watch = PowerWatch(power, heard.append, clock=time)
    return watch, said, heard


def test_watch_says_when_a_rule_begins_and_ends() -> None:
    time, battery, heat = FakeClock(), Gauge(battery=0.4, charging=False), Gauge(temperature_c=50.0)
    watch, said, heard = watched(battery, heat, time=time)
    assert said == ["power: battery 40 %, 50 °C"]
    assert heard == [NO_POWER_DEMAND]
    battery.reading = Reading(0.3, False)
    watch.tick()
    assert watch.most_fps() == 2
    assert heard[-1].names == ("low",)
    watch.tick()
    heat.reading, battery.reading = Reading(temperature_c=85.0), Reading(0.4, False)
    watch.tick()
    assert (watch.most_fps(), heard[-1].energy_factor) == (None, 2)
    heat.reading = Reading(temperature_c=60.0)
    watch.tick()
    assert heard[-1] == NO_POWER_DEMAND
    assert said[1:] == [
        "power: low begins (battery 30 %, 50 °C): energy counts 1000x, at most 2 frames a second",
        "power: hot begins, low is over (battery 40 %, 85 °C): energy counts 2x",
        "power: hot is over (battery 40 %, 60 °C): nothing is asked for",
    ]


def test_last_reading_holds_for_its_time_and_is_remarked_on_once() -> None:
    time, battery, heat = FakeClock(), Gauge(battery=0.2), Gauge(temperature_c=50.0)
    watch, said, _ = watched(battery, heat, time=time)
    del said[:]
    battery.error = "battery x cannot be read: gone."
    for _ in range(12):
        time.now_s += 5
        watch.tick()
    assert watch.power_demand.names == ("low",)  # 60 s later
    assert said == [
        "power: battery x cannot be read: gone. The last reading, battery 20 %, holds for 60.0 s."
    ]
    time.now_s += 5
    watch.tick()
    assert (watch.power_demand, watch.reading) == (NO_POWER_DEMAND, Reading(temperature_c=50.0))
    assert said[1:] == ["power: low is over (50 °C): nothing is asked for"]
    battery.error, battery.reading = None, Reading(battery=0.19)
    watch.tick()
    assert watch.power_demand.names == ("low",)
    assert said[2] == "power: the gauge can be read again: battery 19 %"


def test_source_that_cannot_be_read_at_the_start_is_an_error() -> None:
    broken = Gauge()
    broken.error = "battery x cannot be read: gone."
    with pytest.raises(FileError, match="gone"):
        watched(broken, time=FakeClock())


def test_source_that_fails_by_any_exception_is_read_again() -> None:
    time, gauge = FakeClock(), Gauge(battery=0.2)
    watch, said, _ = watched(gauge, time=time)
    del said[:]
    for error in (OSError("no such device"), ZeroDivisionError()):
        gauge.error = error
        time.now_s += 5
        watch.tick()
    assert watch.power_demand.names == ("low",)
    assert said == [
        "power: the gauge cannot be read: no such device. The last reading, battery 20 %, holds for 60.0 s."
    ]
    gauge.error, gauge.reading = None, None  # type: ignore[assignment]
    time.now_s += 51
    watch.tick()  # 61 s later
    assert (watch.power_demand, len(said)) == (NO_POWER_DEMAND, 2)
    gauge.reading = Reading(battery=0.9)
    watch.tick()
    assert said[2] == "power: the gauge can be read again: battery 90 %"
    gauge.error = OSError("no such device")
    with pytest.raises(FileError, match="the gauge cannot be read: no such device"):
        watched(gauge, time=time)


@pytest.mark.parametrize(
    ("objective", "terms", "adapts", "why"),
    [
        ("latency", THIRSTY, True, ""),
        ("bytes=1,energy=2", THIRSTY, True, ""),
        ("latency", Terms(), True, "without `device` nobody knows what a frame takes in joules"),
        ("latency", THIRSTY, False, "the cut is fixed"),
        ("bytes", THIRSTY, True, "bytes counts neither seconds nor energy"),
    ],
)
def test_rules_that_can_do_nothing_are_named(
    objective: str, terms: Terms, adapts: bool, why: str
) -> None:
    policy = PolicySettings(objective=Objective.parse(objective), terms=terms)
    assert why_unweighed(policy, adapts=adapts) == why
    said, heard = list[str](), list[PowerDemand]()
    power = Power((Gauge(battery=0.2),), RULES, said.append)
    PowerWatch(power, heard.append, unweighed=why)
    assert said[1] == "power: nothing tells the temperature, so these rules never begin: hot"
    caveats = [f"power: {why}, so no weight changes"] if why else []
    assert said[2:-1] == caveats
    assert ("energy counts" in said[-1]) == (not why)
    assert heard[-1].energy_factor == (1 if why else 1000)


async def test_low_battery_moves_the_cut_and_slows_the_stream(
    residual_bundle: Bundle,
    planned: Plan,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    gauge, said, time = Gauge(battery=0.9, charging=False), list[str](), FakeClock()
    waits: list[float] = []

    async def wait(seconds: float) -> None:
        waits.append(seconds)
        time.now_s += seconds

    slow = Rule(name="slow", temperature_c=80, recovers=72, max_fps=50)
    rules = PowerRules(rules=(LOW, slow), least_s=0)
    monkeypatch.setattr(
        "edge_client.client.pipeline.Limited", partial(Limited, clock=time, wait=wait)
    )
    inputs = frames(residual_bundle, 1)
    async with (
        FakeCloud(residual_bundle) as cloud,
        AsyncEdgeClient(
            cloud.address, residual_bundle, "cut-01", terms=THIRSTY,
            power=Power((gauge,), rules, said.append),
        ) as client,
    ):  # fmt: skip
        follow(client, planned)
        assert client.power is not None
        assert client.power.unweighed == FIXED
        client.power.weigh("")  # it does adapt: the test's plan is followed
        await loaded(client, EDGE)
        first = await client.infer(inputs[0])
        assert first.cut == planned.best.cut != EDGE
        gauge.reading = Reading(0.2, False)
        client.power.tick()
        second = await client.infer(inputs[0])
        # What crosses takes 100 J a Mbit, so that no second is worth it.
        assert second.cut == EDGE
        assert second.reason.startswith(
            "low: energy counts 1000x, at most 2 frames a second; edge takes"
        )
        assert " J less and " in second.reason
        snapshot = Observer(client, "cam").snapshot()
        assert snapshot.power is not None
        assert (snapshot.power.battery, snapshot.power.rules) == (0.2, ("low",))
        assert (snapshot.power.energy_factor, snapshot.power.max_fps) == (1000, 2)
        assert read_snapshot(snapshot.model_dump_json()) == snapshot
        results = [result async for result in client.stream(inputs * 3)]
        assert len(results) == 3
        assert sum(waits) == pytest.approx(
            1.5
        )  # half a second before the second, the third and the end
        gauge.reading = Reading(0.9, False)
        client.power.tick()
        third = await client.infer(inputs[0])
        assert third.cut == planned.best.cut
        assert third.reason.startswith("low is over; ")
        gauge.reading = Reading(0.9, False, 85.0)
        client.power.tick()
        fourth = await client.infer(inputs[0])  # nothing moves, and the reason says what holds
        assert fourth.reason.endswith("(slow: at most 50 frames a second)")
        gauge.reading = Reading(0.9, False, 60.0)
        client.power.tick()
        assert "slow" not in (await client.infer(inputs[0])).reason
        client.set_option(EDGE)  # and from now on no weight changes any more
        gauge.reading = Reading(0.2, False)
        client.power.tick()
        assert client.power.power_demand == PowerDemand(("low",), 1.0, 2.0, rules.seconds_per_joule)
    assert client._powering is not None
    assert client._powering.done()


def test_rule_that_holds_at_the_start_is_named_for_the_move_that_it_makes(
    residual_bundle: Bundle,
    planned: Plan,
) -> None:
    stages = Stages(residual_bundle, RuntimeOptions())
    stages.warm(EDGE)
    control = Controller(residual_bundle, stages, Breaker(), PolicySettings(terms=THIRSTY))
    control.heed(PowerDemand(("low",), 1000.0, seconds_per_joule=0.1))
    control.follow(planned, planned.best, "the plan's best", Limits())
    moved = control.next(0.0)
    assert moved.cut.id == EDGE != planned.best.cut
    assert moved.reason.startswith("low: energy counts 1000x; edge takes ")
    stages.close()


async def test_first_cut_counts_energy_as_the_rules_in_force_ask(
    residual_bundle: Bundle, planned: Plan, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "edge_client.client.session.plan_with_cloud", lambda *_args, **_options: planned
    )
    power = Power((Gauge(battery=0.2, charging=False),), PowerRules(rules=(LOW,), least_s=0))
    async with (
        FakeCloud(residual_bundle) as cloud,
        AsyncEdgeClient(cloud.address, residual_bundle, terms=THIRSTY, power=power) as client,
    ):
        first = client.choice
        result = await client.infer(frames(residual_bundle, 1)[0])
    assert planned.best.cut != EDGE
    assert first.cut.id == result.cut == EDGE
    assert first.reason.startswith("auto: ")
    assert " and 20.0 mJ a frame" in first.reason
    assert "low: energy counts 1000x" in first.reason
    assert client.switches == 0


async def test_cut_of_the_caller_is_left_alone_by_the_rules(residual_bundle: Bundle) -> None:
    power = Power((Gauge(temperature_c=90.0),), RULES)
    async with AsyncEdgeClient(None, residual_bundle, EDGE, power=power) as client:
        result = await client.infer(frames(residual_bundle, 1)[0])
    # No --device: the weight stays.
    assert client.power is not None
    assert client.power.power_demand.energy_factor == 1
    assert result.reason == "chosen by the caller"


async def test_client_takes_an_objective_and_refuses_what_it_cannot_count(
    residual_bundle: Bundle,
) -> None:
    with pytest.raises(UsageError, match="energy is not known without `device`"):
        AsyncEdgeClient(None, residual_bundle, EDGE, objective="energy")
    with pytest.raises(UsageError, match="'speed' cannot be minimised"):
        AsyncEdgeClient(None, residual_bundle, EDGE, objective="speed")
    client = AsyncEdgeClient(None, residual_bundle, EDGE, objective="energy", terms=THIRSTY)
    assert client.control.settings.objective == Objective({"energy": 1.0})
    await client.close()
