"""The options of a client: declared once, seen by whoever asks either client what it takes."""

import inspect
import re
import shutil
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge_client.client.async_client import AsyncEdgeClient
from edge_client.client.options import ClientOptions
from edge_client.client.sync_client import EdgeClient
from partitioner.bundle.bundle import Bundle
from partitioner.network.link import Link
from partitioner.settings.declaration import options_of
from protos.errors import UsageError


@pytest.mark.parametrize("client", [EdgeClient, AsyncEdgeClient])
def test_signature_of_both_clients_names_every_option_with_type_and_default(client: Any) -> None:
    found = inspect.signature(client).parameters
    ordered = sorted(fields(ClientOptions), key=lambda field: field.kw_only)
    assert list(found) == [field.name for field in ordered]
    assert str(found["deadline_s"]) == "deadline_s: float | None = None"
    assert str(found["bundle"]) == "bundle: str | Path | Bundle"
    assert found["cut"].kind is inspect.Parameter.POSITIONAL_OR_KEYWORD
    assert found["window"].kind is inspect.Parameter.KEYWORD_ONLY


@pytest.mark.parametrize("client", [EdgeClient, AsyncEdgeClient])
def test_help_of_both_clients_says_every_options_sentence(client: Any) -> None:
    text = " ".join((client.__init__.__doc__ or "").split())
    for declared in options_of(ClientOptions):
        assert f"{declared.name}: {declared.about.sentence}" in text


def test_client_takes_its_options_by_name_or_all_at_once(residual_bundle: Bundle) -> None:
    given = {"cloud": None, "bundle": residual_bundle, "cut": "edge", "deadline_s": 0.5}
    with EdgeClient(**given) as named, EdgeClient.of(ClientOptions(**given)) as whole:
        assert named.asynchronous.options == whole.asynchronous.options
        assert named.asynchronous.deadline_s == 0.5


@pytest.mark.parametrize(
    ("wrong", "near"), [("ct", "cut"), ("deadline", "deadline_s"), ("dead_line_s", "deadline_s")]
)
@pytest.mark.parametrize("client", [EdgeClient, AsyncEdgeClient])
def test_misspelt_option_is_told_the_nearest(client: Any, wrong: str, near: str) -> None:
    told = f"{client.__name__} has no option '{wrong}'. The nearest is '{near}'"
    with pytest.raises(UsageError, match=told):
        client(None, "b", "edge", **{wrong: 1.0})


@pytest.mark.parametrize(
    ("args", "sentence"),
    [
        ((None,), "missing a required argument: 'bundle'"),
        ((None, "b", "edge", "raw"), "too many positional arguments"),
    ],
)
def test_missing_and_surplus_arguments_are_told_what_the_client_takes(
    args: tuple[Any, ...], sentence: str
) -> None:
    with pytest.raises(UsageError, match=rf"{sentence}.*EdgeClient\(cloud, bundle, cut=…\)"):
        EdgeClient(*args)


def test_link_is_given_or_written() -> None:
    link = Link(10e6, 50e6, 0.02)
    for given in (link, "10mbit/50mbit,20ms"):
        assert ClientOptions("host:1", "b", link=given).known_link == link
    assert ClientOptions("host:1", "b").known_link is None


def test_help_speaks_of_units_to_programs_and_flags_of_how_they_are_written() -> None:
    text = " ".join((EdgeClient.__init__.__doc__ or "").split())
    assert "deadline_s: From a frame's arrival to its result. In seconds." in text
    assert "memory_bytes: What all loaded heads and tails may take. In bytes." in text
    assert "100ms" not in text
    assert "500MB" not in text
    known = {declared.key: declared for declared in options_of(ClientOptions)}
    assert known["deadline"].written_sentence == "From a frame's arrival to its result, as 100ms."
    assert known["link"].written_sentence.endswith("10mbit/50mbit,20ms; measure asks it.")


MOVING: dict[str, Any] = {"exit_threshold": "auto", "deadline_s": 1.0}


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"window": 0}, "a window of 0 frames lets none through"),
        ({"timeout_s": 0.0}, "a timeout of 0 s leaves no time"),
        ({"deadline_s": float("nan")}, "a deadline of nan s cannot be met"),
        ({"on_failure": "cry"}, "`on_failure` 'cry' is neither"),
        ({"accuracy_drop": 101.0}, "an accuracy drop of 101.0 points has no meaning"),
        ({"slow": 0.5}, "a device 0.5 times as slow as this one cannot be rehearsed"),
        ({"slow": float("nan")}, "a device nan times as slow"),
        ({"exit_floor": 2.0, **MOVING}, "an exit floor of 2 is no share"),
        ({"exit_floor": float("nan"), **MOVING}, "an exit floor of nan is no share"),
        ({"threads": 0}, "0 threads cannot compute"),
        ({"latency_s": 0.0}, "a latency of 0 s cannot be kept"),
        ({"memory_bytes": 0}, "0 bytes of memory hold no head"),
        ({"exit_floor": 0.9}, "an exit floor bounds a threshold that moves"),
        ({"cut": "edge", "latency_s": 0.1}, "kept by a policy that moves the cut"),
    ],
)
def test_option_that_cannot_be_is_named(given: dict[str, Any], sentence: str) -> None:
    with pytest.raises(UsageError, match=sentence):
        ClientOptions("host:1", "b", **given)


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"window": "8"}, "`window` is '8', of type str. Give a whole number, such as 8."),
        ({"window": 2.5}, "`window` is 2.5, of type float. Give a whole number"),
        ({"window": None}, "`window` is None, of type NoneType. Give a whole number"),
        ({"deadline_s": "100ms"}, "`deadline_s` is '100ms', of type str. Give a number of seconds"),
        (
            {"memory_bytes": "500MB"},
            "`memory_bytes` is '500MB', of type str. Give a whole number of",
        ),
        ({"link": 5}, "`link` is 5, of type int. Give a Link, or text such as '10mbit,20ms'"),
        ({"link": "fast"}, "'fast' is no link"),
        ({"exit_threshold": ["own"]}, "`exit_threshold` is ['own'], of type list. Give own, auto"),
        ({"adapt": "yes"}, "`adapt` is 'yes', of type str. Give True or False."),
        ({"cut": 4}, "`cut` is 4, of type int. Give a text."),
    ],
)
def test_option_of_a_wrong_type_is_named_with_what_is_wanted(
    given: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(UsageError, match=re.escape(sentence)):
        ClientOptions("host:1", "b", **given)


def test_bundle_of_a_wrong_type_is_named_with_what_is_wanted() -> None:
    with pytest.raises(UsageError, match="`bundle` is None, of type NoneType. Give a path"):
        ClientOptions(None, None, "edge").load_bundle()  # type: ignore[arg-type]


def test_numbers_of_numpy_are_numbers() -> None:
    assert ClientOptions("host:1", "b", window=np.int64(2), deadline_s=np.float32(1)).window == 2  # type: ignore[arg-type]


def test_options_are_read_as_people_write_them() -> None:
    known = {declared.key: declared for declared in options_of(ClientOptions)}
    assert known["deadline"].read("100ms") == 0.1
    assert known["deadline"].read("none") is None
    assert known["memory"].read("500MB") == 500_000_000
    assert known["link"].read("10mbit,20ms") == Link(10e6, 10e6, 0.02)
    assert known["timeout"].written_default == "10s"
    with pytest.raises(UsageError, match=r"--link is wrong: 'fast' is no link\..*Or write measure"):
        known["link"].read("fast")


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        (
            {"objective": 3},
            "`objective` is 3, of type int. Give text such as 'latency=1,energy=0.2'",
        ),
        ({"terms": "phone"}, "`terms` is 'phone', of type str. Give Terms"),
    ],
)
def test_what_only_a_program_gives_is_told_what_was_wanted(
    residual_bundle: Bundle, given: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(UsageError, match=sentence):
        AsyncEdgeClient(None, residual_bundle, "edge", **given)


@pytest.mark.parametrize("updates", ["auto", "off"])
def test_bundle_that_was_changing_places_when_the_power_went_is_found(
    residual_bundle: Bundle, tmp_path: Path, updates: str
) -> None:
    """Also by a start that asks for no updates any more."""
    left = tmp_path / ".net.update" / "left"
    shutil.copytree(residual_bundle.path, left)
    options = ClientOptions("127.0.0.1:1", tmp_path / "net", updates=updates)
    assert options.load_bundle().version_digest == residual_bundle.version_digest
    assert not left.exists()
