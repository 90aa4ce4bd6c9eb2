"""What the edge is told by flags, environment and file."""

import json
from pathlib import Path
from typing import Any

import pytest

from edge_client.client.options import ClientOptions
from partitioner.bundle.bundle import Bundle
from partitioner.exits.ladder import parse_threshold
from partitioner.network.link import Link
from partitioner.planning.objective import Objective
from partitioner.planning.terms import Terms
from partitioner.policy.power_rules import DEFAULT_RULES
from partitioner.settings.declaration import options_of
from protos.errors import FileError, SplitpointError, UnknownNameError, UsageError
from tests.kit.edge_commands import invoke, run_edge
from tests.kit.power import RULES
from tests.kit.settings import local_serve_settings, run_settings


def test_settings_say_objective_terms_and_rules(tmp_path: Path) -> None:
    rules = tmp_path / "rules.json"
    rules.write_text(RULES.model_dump_json())
    given: dict[str, Any] = {"bundle": tmp_path, "source": "frames"}
    plain = run_settings(**given)
    assert (plain.aims.objective, plain.terms, plain.power_rules) == (
        Objective({"latency": 1.0}), Terms(), None,
    )  # fmt: skip
    asked = run_settings(**given, weights="latency=1,energy=0.2", device="phone", fps=5.0)
    assert asked.aims.objective.weights == {"latency": 1.0, "energy": 0.2}
    assert asked.terms.device is not None
    assert (asked.terms.device.name, asked.terms.fps) == ("phone", 5.0)
    assert run_settings(**given, battery="20%").power_rules == DEFAULT_RULES
    assert run_settings(**given, temperature="70").power_rules == DEFAULT_RULES
    assert run_settings(**given, battery="20%", power="none").power_rules is None
    assert run_settings(**given, power=str(rules)).power_rules == RULES
    serve = local_serve_settings(bundle=tmp_path, power=str(rules)).power_rules
    assert serve is not None
    assert [rule.max_fps for rule in serve.rules] == [None, None]
    assert [rule.energy_factor for rule in serve.rules] == [1000, 2]
    with pytest.raises(FileError, match="cannot be read"):
        _ = run_settings(**given, power="nowhere.toml").power_rules
    with pytest.raises(UnknownNameError, match="no device 'toaster'"):
        _ = run_settings(**given, device="toaster").terms


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
        (["--price-gb", "-1"], 2, "-1.0 is no price"),
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


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"telemetry": "0.1s"}, "telemetry every 0.1 s is too often"),
        ({"metrics": "9090"}, "'9090' is no address to listen on"),
        ({"name": ""}, "--name is wrong"),
    ],
)
def test_bad_settings_are_named(given: dict[str, str], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        local_serve_settings(bundle="b", **given)


def test_threshold_is_a_setting() -> None:
    words = ("auto", "own", "none", "0.9")
    assert [parse_threshold(text) for text in words] == ["auto", "own", None, 0.9]
    with pytest.raises(SplitpointError, match="no exit threshold"):
        parse_threshold("often")
    with pytest.raises(SplitpointError, match="does not exist"):
        parse_threshold("1.5")


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (("--deadline", "0ms"), "a deadline of 0 s cannot be met"),
        (("--deadline", "soon"), "'soon' is not a duration"),
        (
            ("--hedge", "banana"),
            "'banana' is no time to hedge at. Give auto, off or a time, as 80ms.",
        ),
        (("--memory", "much"), "'much' is not a size"),
        (("--cut", "edge", "--adapt"), "needs a server"),
    ],
)
def test_settings_that_cannot_be_met_are_refused(
    image_bundle: Bundle, folder: Path, flags: tuple[str, ...], words: str
) -> None:
    done = invoke("run", "--bundle", image_bundle.path, "--source", folder, *flags)
    assert isinstance(done.exception, UsageError)
    assert words in str(done.exception)


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        ((), ["--cut 'auto' needs a server", "Give --cloud HOST:PORT, or --cut edge"]),
        (("--cut", "edge", "--adapt"), ["Give --cloud HOST:PORT"]),
        (
            ("--exit-floor", "0.9"),
            ["Give --exit-threshold auto, --deadline or --latency", "--adapt"],
        ),
    ],
)
def test_command_speaks_of_flags_where_python_speaks_of_parameters(
    image_bundle: Bundle, folder: Path, flags: tuple[str, ...], words: list[str]
) -> None:
    done = invoke("run", "--bundle", image_bundle.path, "--source", folder, *flags)
    said = str(done.exception)
    assert all(word in said for word in words)
    assert "`" not in said
    assert "=" not in said


def test_settings_come_from_flags_over_environment_over_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "edge.toml"
    file.write_text('cloud = "file:1"\ncut = "cut-file"\nwindow = 7\nbundle = "b"\nsource = 0\n')
    monkeypatch.setenv("SPLITPOINT_EDGE_CLOUD", "env:1")
    monkeypatch.setenv("SPLITPOINT_EDGE_CUT", "cut-env")
    settings = run_settings(file, cloud="flag:1", cut=None)
    client = settings.client
    assert (client.cloud, client.cut, client.window) == ("flag:1", "cut-env", 7)
    assert settings.source == "0"
    assert client.timeout_s == 10.0


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"source": "x"}, "--bundle is missing. Give it, or set SPLITPOINT_EDGE_BUNDLE"),
        ({"bundle": "b", "source": "x", "window": 0}, "--window is wrong"),
        ({"bundle": "b", "source": "x", "on_failure": "cry"}, "--on-failure is wrong"),
        ({"bundle": "b", "source": "x", "colour": "red"}, "no setting 'colour'"),
    ],
)
def test_wrong_setting_is_named(given: dict[str, Any], sentence: str) -> None:
    with pytest.raises(UsageError, match=sentence):
        run_settings(None, **given)


@pytest.mark.parametrize("content", [b"\xff\xfe\x00", b"window", b"window = [\n"])
def test_settings_file_that_is_no_toml_is_refused(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "edge.toml").write_bytes(content)
    with pytest.raises(FileError, match=r"settings file .*edge.toml is no TOML: "):
        run_settings(tmp_path / "edge.toml", bundle="b", source="x")


def test_wrong_setting_is_shown() -> None:
    with pytest.raises(
        UsageError, match="--window is wrong: a window of -3 frames lets none through. Give 1 or"
    ):
        run_settings(None, bundle="b", source="x", window=-3)


def test_wrong_units_are_named() -> None:
    for given in ({"link": "fast"}, {"timeout": "0s"}, {"timeout": "soon"}):
        with pytest.raises(UsageError, match=r"no link|leaves no time|not a duration"):
            run_settings(None, bundle="b", source="x", **given)


@pytest.mark.parametrize(
    ("text", "link"),
    [
        ("10mbit,20ms", Link(10e6, 10e6, 0.02)),
        ("10mbit/50mbit,20ms", Link(10e6, 50e6, 0.02)),
        ("10Mbit/s/50Mbit/s,1s", Link(10e6, 50e6, 1.0)),
        ("2MB/s,0ms", Link(16e6, 16e6, 0.0)),
        ("measure", None),
    ],
)
def test_links_are_read_as_people_write_them(text: str, link: Link | None) -> None:
    (option,) = (one for one in options_of(ClientOptions) if one.name == "link")
    assert option.read(text) == link


def test_what_a_file_or_a_variable_gives_can_be_taken_back_by_its_word(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "edge.toml"
    file.write_text(
        'metrics = "h:1"\nmemory = "1GB"\nweights = "bytes=1"\ndevice = "phone"\noutput = "o.jsonl"\n'
    )
    monkeypatch.setenv("SPLITPOINT_EDGE_HEARTBEAT", "/tmp/beat")
    words = dict.fromkeys(("memory", "weights", "device", "output", "heartbeat"), "none")
    back = run_settings(file, bundle="b", source="x", metrics="off", **words)
    assert back == run_settings(bundle="b", source="x", heartbeat="none")
    assert (back.reports.metrics, back.reports.heartbeat) == (None, None)


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (("--exit-floor", "2", "--exit-threshold", "auto"), "--exit-floor is wrong: an exit floor"),
        (("--threads", "0"), "--threads is wrong: 0 threads cannot compute"),
        (("--latency", "0ms"), "--latency is wrong: a latency of 0 s cannot be kept"),
        (("--price-gb", "-1"), "--price-gb is wrong: -1.0 is no price"),
    ],
)
def test_value_that_cannot_be_is_not_shown_as_valid(flags: tuple[str, ...], words: str) -> None:
    done = invoke("run", "--bundle", "b", "--source", "x", *flags, "--show-config")
    assert isinstance(done.exception, UsageError)
    assert words in str(done.exception)


@pytest.mark.parametrize("command", ["run", "serve"])
def test_show_config_prints_what_was_told_and_runs_nothing(command: str) -> None:
    source = ("--source", "x") if command == "run" else ()
    done = invoke(command, "--bundle", "nowhere", *source, "--deadline", "90ms", "--show-config")
    assert done.exit_code == 0
    found = json.loads(done.stdout)
    assert (found["bundle"], found["deadline"], found["log_format"]) == ("nowhere", "90ms", "text")
