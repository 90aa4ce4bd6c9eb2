"""Settings: one declaration, and what flags, variables and a file make of it."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from partitioner.settings.declaration import Options, about, group, option
from partitioner.settings.kinds import NAMES, SIZE, TIME, count, words
from partitioner.settings.loader import EDGE_PREFIX, Program, load
from protos.errors import UsageError


@dataclass(frozen=True)
class Limits(Options):
    room_bytes: int = option(64 << 20, "The room.", SIZE)
    wait_s: float | None = option(None, "The wait.", TIME, none="none")


@dataclass(frozen=True, kw_only=True)
class Come(Options):
    who: str = field(metadata=about("Who comes.", words("NAME")))
    exit_floor: int = option(
        1, "The floor.", count(), holds=lambda floor: floor >= 0, wrong="a floor of {} is a cellar."
    )
    limits: Limits = group(Limits, wait_s=2.0)


@dataclass(frozen=True)
class Go(Options):
    stops: tuple[str, ...] = option((), "Where to.", NAMES)


PROGRAM = Program("test", EDGE_PREFIX, {"come": Come, "go": Go})


def come(config: Path | None = None, **given: Any) -> Come:
    return load(PROGRAM, Come, {"who": "me", **given}, config).settings


def file_of(folder: Path, text: str) -> Path:
    file = folder / "settings.toml"
    file.write_text(text)
    return file


def test_values_are_read_as_people_write_them_and_groups_have_the_commands_defaults() -> None:
    assert come() == Come(who="me", limits=Limits(wait_s=2.0))
    assert come(wait="none", room="1KiB").limits == Limits(room_bytes=1024)
    with pytest.raises(UsageError, match="--exit-floor is wrong: a floor of -1 is a cellar"):
        come(exit_floor=-1)


def test_what_was_told_is_kept_as_it_was_written() -> None:
    written = load(PROGRAM, Come, {"who": "me", "wait": "90ms"}).written
    assert written == {
        "who": "me", "exit_floor": 1, "room": "64MiB", "wait": "90ms", "log_level": "info",
        "log_format": "text",
    }  # fmt: skip


@pytest.mark.parametrize("key", ["exit-floor", "exit_floor"])
def test_key_of_a_file_is_the_flags_name_with_either_dash(key: str, tmp_path: Path) -> None:
    assert come(file_of(tmp_path, f"{key} = 3")).exit_floor == 3


def test_file_may_be_shared_by_the_commands_of_a_program(tmp_path: Path) -> None:
    config = file_of(tmp_path, 'exit-floor = 3\nstops = ["a", "b"]\n')
    assert come(config).exit_floor == 3
    assert load(PROGRAM, Go, {}, config).settings == Go(stops=("a", "b"))


def test_key_that_no_command_knows_is_an_error_that_names_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"settings.toml: .*'exit-flor'.* nearest is exit-floor;"):
        come(file_of(tmp_path, "exit-flor = 3"))


def test_variable_that_no_command_knows_is_an_error_that_names_the_nearest(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SPLITPOINT_CLOUD_ANYTHING", "1")  # which that program sees to
    monkeypatch.setenv("SPLITPOINT_EDGE_STOPS", "a,b")
    assert load(PROGRAM, Go, {}).settings == Go(stops=("a", "b"))
    assert come().who == "me"
    for wrong, meant in (("EDGE_EXIT_FLOR", "EDGE_EXIT_FLOOR"), ("EGDE_WHO", "EDGE_WHO")):
        with monkeypatch.context() as patch:
            patch.setenv(f"SPLITPOINT_{wrong}", "1")
            with pytest.raises(UsageError, match=f"{wrong} is no .* nearest is SPLITPOINT_{meant}"):
                come()


def test_variable_that_is_empty_counts_as_not_set(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = file_of(tmp_path, "exit-floor = 3")
    monkeypatch.setenv("SPLITPOINT_EDGE_EXIT_FLOOR", "")
    monkeypatch.setenv("SPLITPOINT_EDGE_WAIT", "")
    assert come(config) == Come(who="me", exit_floor=3, limits=Limits(wait_s=2.0))


SERVICE_LINKS = {
    "SPLITPOINT_EDGE_SERVICE_HOST": "10.96.0.7",
    "SPLITPOINT_EDGE_SERVICE_PORT": "50051",
    "SPLITPOINT_EDGE_SERVICE_PORT_GRPC": "50051",
    "SPLITPOINT_EDGE_PORT": "tcp://10.96.0.7:50051",
    "SPLITPOINT_EDGE_PORT_50051_TCP": "tcp://10.96.0.7:50051",
    "SPLITPOINT_EDGE_PORT_50051_TCP_PROTO": "tcp",
    "SPLITPOINT_EDGE_PORT_50051_TCP_PORT": "50051",
    "SPLITPOINT_EDGE_PORT_50051_TCP_ADDR": "10.96.0.7",
    "SPLITPOINT_PORT_53_UDP_ADDR": "10.96.0.7",
    "SPLITPOINT_NAME": "/web/splitpoint",
    "SPLITPOINT_EDGE_ENV_PYTHONPATH": "/app",
}


@pytest.mark.parametrize(("name", "value"), SERVICE_LINKS.items())
def test_variable_that_an_orchestrator_sets_for_a_service_is_left_alone(
    name: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, value)
    assert come().who == "me"


@pytest.mark.parametrize("name", ["SPLITPOINT_EDGE_PORT", "SPLITPOINT_EDGE_SERVICE"])
def test_variable_that_only_resembles_a_services_is_an_error(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, "50051")
    with pytest.raises(UsageError, match=f"{name} is no setting"):
        come()


def test_setting_that_a_file_spells_twice_is_an_error_that_names_both(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="'exit-floor' and 'exit_floor' are one setting"):
        come(file_of(tmp_path, "exit-floor = 3\nexit_floor = 4\n"))


def test_wrong_value_of_a_file_names_the_key_and_the_file(tmp_path: Path) -> None:
    for text, wrong in (
        ('exit-floor = "four"', "'four' should be a whole number."),
        ("exit-floor = -1", "a floor of -1 is a cellar."),
        ("room = true", "True should be a text."),
    ):
        config = file_of(tmp_path, text)
        with pytest.raises(UsageError) as caught:
            come(config)
        assert str(caught.value) == f"{text.split()[0]} in {config} is wrong: {wrong}"


@pytest.mark.parametrize(
    ("value", "wrong"),
    [("many", "'many' should be a whole number."), ("-1", "a floor of -1 is a cellar.")],
)
def test_wrong_value_of_a_variable_names_the_variable(
    value: str, wrong: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SPLITPOINT_EDGE_EXIT_FLOOR", value)
    with pytest.raises(UsageError) as caught:
        come(file_of(tmp_path, "exit-floor = -2"))
    assert str(caught.value) == f"the variable SPLITPOINT_EDGE_EXIT_FLOOR is wrong: {wrong}"
    with pytest.raises(UsageError, match="^--exit-floor is wrong"):  # which goes before both
        come(exit_floor=-3)
