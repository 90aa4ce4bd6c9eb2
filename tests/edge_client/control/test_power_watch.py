"""Battery and heat on the running edge: where they are read, and what then happens to cut and pace."""

import json
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import pytest
from typer.testing import CliRunner

from edge_client.cli.main import app
from edge_client.cli.settings import load_serve_settings, load_settings
from edge_client.client.async_client import AsyncEdgeClient
from edge_client.client.feed import Limited
from edge_client.cloud.circuit_breaker import Breaker
from edge_client.control.controller import Controller, Limits
from edge_client.control.power_sources import (
    BatteryFile,
    Given,
    PowerSource,
    SystemBattery,
    TemperatureFile,
    battery_source,
    parse_level,
    parse_temperature,
    temperature_source,
)
from edge_client.control.power_watch import FIXED, Power, PowerWatch, find_power, why_unweighed
from edge_client.frames.stages import Stages
from edge_client.telemetry.observer import Observer
from partitioner.bundle.bundle import Bundle
from partitioner.planning.devices import Device
from partitioner.planning.objective import Objective
from partitioner.planning.plan import Plan
from partitioner.planning.radio import Radio
from partitioner.planning.terms import Terms
from partitioner.policy.policy import PolicySettings
from partitioner.policy.power_rules import (
    DEFAULT_RULES,
    NO_POWER_DEMAND,
    PowerDemand,
    PowerRules,
    Reading,
    Rule,
)
from partitioner.runtime.sessions import RuntimeOptions
from protos.errors import FileError, UnknownNameError, UsageError
from protos.names import EDGE
from protos.telemetry import read_snapshot
from tests.kit.clients import follow, loaded
from tests.kit.clocks import FakeClock
from tests.kit.fake_cloud import FakeCloud
from tests.kit.frames import frames

LOW = Rule(name="low", battery_percent=30, recovers=35, energy_factor=1000, max_fps=2)
HOT = Rule(name="hot", temperature_c=80, recovers=72, energy_factor=2)
RULES = PowerRules(rules=(LOW, HOT), every_s=5, hold_s=60, least_s=0)
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


@pytest.mark.parametrize(
    ("text", "level"),
    [("35", 0.35), ("35%", 0.35), ("0.35", 0.35), ("1", 0.01), ("1.0", 1.0), ("100\n", 1.0),
     ("55.5", 0.555), ("0.9%", 0.009), ("101", None), ("-1", None), ("full", None), ("", None),
     ("35C", None)],
)  # fmt: skip
def test_level_is_percent_or_a_share_with_a_point(text: str, level: float | None) -> None:
    assert parse_level(text) == (None if level is None else pytest.approx(level))


@pytest.mark.parametrize(
    ("text", "degrees"),
    [("48.5", 48.5), ("48500", 48.5), ("-5000", -5.0), ("71C", 71.0), ("71 °C", 71.0),
     ("999", None), ("300000", None), ("70%", None), ("warm", None)],
)  # fmt: skip
def test_temperature_is_degrees_or_thousandths(text: str, degrees: float | None) -> None:
    assert parse_temperature(text) == (None if degrees is None else pytest.approx(degrees))


def test_battery_of_linux_says_whether_it_charges(tmp_path: Path) -> None:
    (tmp_path / "capacity").write_text("28\n")
    assert BatteryFile(tmp_path).read() == Reading(battery=0.28)
    for status, charging in (
        ("Discharging", False), ("Charging", True), ("Full", True), ("Not charging", True),
        ("Unknown", None),
    ):  # fmt: skip
        (tmp_path / "status").write_text(f"{status}\n")
        assert BatteryFile(tmp_path).read() == Reading(battery=0.28, charging=charging)
    assert BatteryFile(tmp_path / "capacity").read().charging is None
    (tmp_path / "capacity").write_text("27\n")
    assert BatteryFile(tmp_path).read().battery == pytest.approx(0.27)


def test_file_that_tells_nothing_is_a_clear_error(tmp_path: Path) -> None:
    path = tmp_path / "level"
    with pytest.raises(FileError, match=r"--battery .*level cannot be read: No such file"):
        BatteryFile(path).read()
    path.write_text("soon empty")
    with pytest.raises(FileError, match=r"holds 'soon empty', and not a level.* such as 0.35"):
        BatteryFile(path).read()
    with pytest.raises(FileError, match=r"--temperature .* not a temperature.* such as 48500"):
        TemperatureFile(path).read()
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(FileError, match="cannot be read: it is no text"):
        TemperatureFile(path).read()


def sensor(current: float | None) -> SimpleNamespace:
    return SimpleNamespace(current=current)


def shown(monkeypatch: pytest.MonkeyPatch, battery: Any, temperatures: Any) -> None:
    monkeypatch.setattr(psutil, "sensors_battery", lambda: battery, raising=False)
    monkeypatch.setattr(psutil, "sensors_temperatures", lambda: temperatures, raising=False)


def test_system_shows_its_battery_and_the_hottest_core(monkeypatch: pytest.MonkeyPatch) -> None:
    battery = SimpleNamespace(percent=41.5, power_plugged=False)
    sensors = {"nvme": [sensor(88.0)], "coretemp": [sensor(61.0), sensor(64.0), sensor(None)]}
    shown(monkeypatch, battery, sensors)
    found = find_power(None, None, RULES, print)
    readings = [source.read() for source in found.sources]
    assert readings == [Reading(battery=0.415, charging=False), Reading(temperature_c=64.0)]
    shown(monkeypatch, None, {"acpitz": [sensor(40.0)], "nvme": [sensor(50.0), sensor(9999.0)]})
    (hottest,) = find_power(None, "auto", RULES, print).sources
    assert hottest.read() == Reading(temperature_c=50.0)
    assert find_power("none", None, RULES, print).sources[0].name == "the temperature"


def test_machine_that_shows_nothing_says_what_to_give(monkeypatch: pytest.MonkeyPatch) -> None:
    shown(monkeypatch, None, {})
    with pytest.raises(UsageError, match=r"neither a battery nor a temperature.*--battery or"):
        find_power(None, None, RULES, print)
    with pytest.raises(UsageError, match=r"shows no battery.*BAT0"):
        battery_source("auto")
    with pytest.raises(UsageError, match=r"shows no temperature.*thermal_zone0"):
        temperature_source("auto")
    monkeypatch.delattr(psutil, "sensors_battery")  # where psutil does not have it at all
    monkeypatch.delattr(psutil, "sensors_temperatures")
    with pytest.raises(UsageError, match="neither a battery"):
        find_power(None, "none", RULES, print)
    assert find_power("20", None, RULES, print).sources == (Given(Reading(battery=0.2)),)
    for wrong in ("120", "20C"):
        with pytest.raises(UsageError, match=f"--battery {wrong} is no level"):
            battery_source(wrong)
    with pytest.raises(UsageError, match="--temperature 70% is no temperature"):
        temperature_source("70%")


def test_battery_that_is_taken_out_cannot_be_read(monkeypatch: pytest.MonkeyPatch) -> None:
    shown(monkeypatch, SimpleNamespace(percent=50, power_plugged=None), {})
    source = SystemBattery()
    shown(monkeypatch, None, {})
    with pytest.raises(FileError, match="not shown any more"):
        source.read()


def test_watch_says_when_a_rule_begins_and_ends() -> None:
    time, battery, heat = FakeClock(), Gauge(battery=0.4, charging=False), Gauge(temperature_c=50.0)
    watch, said, heard = watched(battery, heat, time=time)
    assert said == ["power: battery 40 %, 50 °C"]
    assert heard == [NO_POWER_DEMAND]
    battery.reading = Reading(0.3, False)
    watch.step()
    assert watch.most_fps() == 2
    assert heard[-1].names == ("low",)
    watch.step()
    heat.reading, battery.reading = Reading(temperature_c=85.0), Reading(0.4, False)
    watch.step()
    assert (watch.most_fps(), heard[-1].energy_factor) == (None, 2)
    heat.reading = Reading(temperature_c=60.0)
    watch.step()
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
    battery.error = "--battery x cannot be read: gone."
    for _ in range(12):
        time.now_s += 5
        watch.step()
    assert watch.power_demand.names == ("low",)  # 60 s later
    assert said == [
        "power: --battery x cannot be read: gone. The last reading, battery 20 %, holds for 60.0 s."
    ]
    time.now_s += 5
    watch.step()
    assert (watch.power_demand, watch.reading) == (NO_POWER_DEMAND, Reading(temperature_c=50.0))
    assert said[1:] == ["power: low is over (50 °C): nothing is asked for"]
    battery.error, battery.reading = None, Reading(battery=0.19)
    watch.step()
    assert watch.power_demand.names == ("low",)
    assert said[2] == "power: the gauge can be read again: battery 19 %"


def test_source_that_cannot_be_read_at_the_start_is_an_error() -> None:
    broken = Gauge()
    broken.error = "--battery x cannot be read: gone."
    with pytest.raises(FileError, match="gone"):
        watched(broken, time=FakeClock())


def test_source_that_fails_by_any_exception_is_read_again() -> None:
    time, gauge = FakeClock(), Gauge(battery=0.2)
    watch, said, _ = watched(gauge, time=time)
    del said[:]
    for error in (OSError("no such device"), ZeroDivisionError()):
        gauge.error = error
        time.now_s += 5
        watch.step()
    assert watch.power_demand.names == ("low",)
    assert said == [
        "power: the gauge cannot be read: no such device. The last reading, battery 20 %, holds for 60.0 s."
    ]
    gauge.error, gauge.reading = None, None  # type: ignore[assignment]
    time.now_s += 51
    watch.step()  # 61 s later
    assert (watch.power_demand, len(said)) == (NO_POWER_DEMAND, 2)
    gauge.reading = Reading(battery=0.9)
    watch.step()
    assert said[2] == "power: the gauge can be read again: battery 90 %"
    gauge.error = OSError("no such device")
    with pytest.raises(FileError, match="the gauge cannot be read: no such device"):
        watched(gauge, time=time)


@pytest.mark.parametrize(
    ("objective", "terms", "adapts", "why"),
    [
        ("latency", THIRSTY, True, ""),
        ("bytes=1,energy=2", THIRSTY, True, ""),
        ("latency", Terms(), True, "without --device nobody knows what a frame takes in joules"),
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


async def counted() -> AsyncIterator[int]:
    for number in range(100):
        yield number


async def test_limited_frames_keep_a_beat_that_may_change() -> None:
    time = FakeClock()
    waits: list[float] = []
    rate: list[float | None] = [None]

    async def wait(seconds: float) -> None:
        waits.append(seconds)
        time.now_s += seconds
        if time.now_s >= 109:
            rate[0] = None

    taken = Limited(counted(), lambda: rate[0], time, wait)
    assert [await anext(taken) for _ in range(3)] == [0, 1, 2]  # as they come
    assert waits == []
    rate[0] = 4.0
    time.now_s += 0.1  # the frame before came at 100.0
    moments = []
    for _ in range(3):
        await anext(taken)
        moments.append(time.now_s)
        time.now_s += 0.05  # what the frame takes
    assert moments == pytest.approx([100.25, 100.5, 100.75])
    time.now_s = 101.3  # late by more than a beat: the beat starts anew
    await anext(taken)
    await anext(taken)
    assert time.now_s == pytest.approx(101.55)
    rate[0] = 0.1  # the next is due at 111.55, but at 109 the rule is over
    assert await anext(taken) == 8
    assert 109 <= time.now_s < 109.5


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
        "edge_client.client.async_client.Limited", partial(Limited, clock=time, wait=wait)
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
        client.power.step()
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
        client.power.step()
        third = await client.infer(inputs[0])
        assert third.cut == planned.best.cut
        assert third.reason.startswith("low is over; ")
        gauge.reading = Reading(0.9, False, 85.0)
        client.power.step()
        fourth = await client.infer(inputs[0])  # nothing moves, and the reason says what holds
        assert fourth.reason == f"{third.reason} (slow: at most 50 frames a second)"
        gauge.reading = Reading(0.9, False, 60.0)
        client.power.step()
        assert (await client.infer(inputs[0])).reason == third.reason
        client.set_option(EDGE)  # and from now on no weight changes any more
        gauge.reading = Reading(0.2, False)
        client.power.step()
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
    with pytest.raises(UsageError, match="energy is not known without --device"):
        AsyncEdgeClient(None, residual_bundle, EDGE, objective="energy")
    with pytest.raises(UsageError, match="'speed' cannot be minimised"):
        AsyncEdgeClient(None, residual_bundle, EDGE, objective="speed")
    client = AsyncEdgeClient(None, residual_bundle, EDGE, objective="energy", terms=THIRSTY)
    assert client.control.settings.objective == Objective({"energy": 1.0})
    await client.close()


def test_settings_say_objective_terms_and_rules(tmp_path: Path) -> None:
    rules = tmp_path / "rules.json"
    rules.write_text(RULES.model_dump_json())
    given: dict[str, Any] = {"bundle": tmp_path, "source": "frames"}
    plain = load_settings(**given)
    assert (plain.objective, plain.terms, plain.power_rules) == (
        Objective({"latency": 1.0}), Terms(), None,
    )  # fmt: skip
    asked = load_settings(**given, weights="latency=1,energy=0.2", device="phone", fps=5.0)
    assert asked.objective.weights == {"latency": 1.0, "energy": 0.2}
    assert asked.terms.device is not None
    assert (asked.terms.device.name, asked.terms.fps) == ("phone", 5.0)
    assert load_settings(**given, battery="20%").power_rules == DEFAULT_RULES
    assert load_settings(**given, temperature="70").power_rules == DEFAULT_RULES
    assert load_settings(**given, battery="20%", power="none").power_rules is None
    assert load_settings(**given, power=str(rules)).power_rules == RULES
    serve = load_serve_settings(bundle=tmp_path, power=str(rules)).power_rules
    assert serve is not None
    assert [rule.max_fps for rule in serve.rules] == [None, None]
    assert [rule.energy_factor for rule in serve.rules] == [1000, 2]
    with pytest.raises(FileError, match="cannot be read"):
        _ = load_settings(**given, power="nowhere.toml").power_rules
    with pytest.raises(UnknownNameError, match="no device 'toaster'"):
        _ = load_settings(**given, device="toaster").terms


def run_edge(bundle: Bundle, source: Path, *more: object) -> Any:
    words = ["run", "--bundle", bundle.path, "--cut", "edge", "--source", source, *more]
    return CliRunner().invoke(app, [str(word) for word in words])


@pytest.fixture
def source(residual_bundle: Bundle, tmp_path: Path) -> Path:
    import numpy as np

    (spec,) = residual_bundle.inputs
    path = tmp_path / "frames.npy"
    np.save(path, np.concatenate([each[spec.name] for each in frames(residual_bundle, 3)]))
    return path


def test_run_shows_rules_in_remarks_and_telemetry(residual_bundle: Bundle, source: Path) -> None:
    done = run_edge(
        residual_bundle, source, "--battery", "12%", "--temperature", "none", "--device", "phone",
        "--telemetry", "10s", "--json", "--max-frames", 1,
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    assert "power: battery 12 %" in done.stderr
    assert (
        "power: low battery begins, very low battery begins (battery 12 %): at most 5 frames a second"
        in " ".join(done.stderr.split())
    )
    assert "power: the cut is fixed, so no weight changes" in done.stderr
    documents = [json.loads(line) for line in done.stdout.splitlines()]
    (power,) = [line["telemetry"]["power"] for line in documents if "telemetry" in line]
    assert power == {
        "battery": 0.12, "charging": None, "temperature_c": None,
        "rules": ["low battery", "very low battery"], "energy_factor": 1.0, "max_fps": 5.0,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("words", "status", "message"),
    [
        (["--battery", "nowhere/BAT0"], 3, "--battery nowhere/BAT0 cannot be read: No such file"),
        (["--battery", "500"], 2, "--battery 500 is no level"),
        (["--power", "nowhere.toml"], 3, "power rules nowhere.toml cannot be read"),
        (["--minimize", "energy"], 2, "energy is not known without --device"),
        (["--minimize", "speed"], 2, "'speed' cannot be minimised"),
        (["--minimize", "bytes", "--weights", "latency=1,bytes=1"], 2, "exclude each other"),
        (["--radio", "lte"], 2, "--radio needs the device"),
        (["--price-gb", "-1"], 2, "--price-gb is wrong"),
    ],
)
def test_wrong_flags_of_objective_and_power_are_clear_errors(
    residual_bundle: Bundle,
    source: Path,
    capsys: pytest.CaptureFixture[str],
    words: list[str],
    status: int,
    message: str,
) -> None:
    done = run_edge(residual_bundle, source, *words, "--output", source.with_name("out.jsonl"))
    error = done.exception
    assert message in str(error)
    assert getattr(error, "exit_status", None) == status
    assert not source.with_name("out.jsonl").exists()
