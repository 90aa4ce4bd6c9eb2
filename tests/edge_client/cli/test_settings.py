"""What the edge is told by flags, environment and file."""

from pathlib import Path
from typing import Any

import pytest

from edge_client.cli.settings import load_serve_settings, load_settings
from partitioner.bundle.bundle import Bundle
from partitioner.planning.objective import Objective
from partitioner.planning.terms import Terms
from partitioner.policy.power_rules import DEFAULT_RULES
from protos.errors import FileError, UnknownNameError, UsageError
from tests.kit.edge_commands import run_edge
from tests.kit.power import RULES


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


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"telemetry": "0.1s"}, "telemetry every 0.1s is too often"),
        ({"metrics": "9090"}, "'9090' is no address to listen on"),
        ({"name": ""}, "--name is wrong"),
    ],
)
def test_bad_settings_are_named(given: dict[str, str], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        load_serve_settings(bundle="b", **given)
