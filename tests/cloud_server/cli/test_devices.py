"""The commands `splitpoint-cloud devices …`: what they write, print, and keep to themselves."""

import json
import stat
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from cloud_server.cli.device_flags import ROLES
from cloud_server.cli.main import app
from cloud_server.security.credentials import Credentials
from cloud_server.security.device_file import read_devices
from cloud_server.security.registry import Registry
from cloud_server.security.tokens import PATTERN
from partitioner.common.files import write_private
from protos.errors import FileError, SplitpointError, UnauthenticatedError, UsageError
from tests.kit.devices import NOW
from tests.kit.full_disk import full_disk


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "devices.json"


def run(path: Path, *words: str) -> Any:
    found = CliRunner().invoke(app, ["devices", *words, "--devices", str(path)])
    if isinstance(found.exception, SplitpointError):
        raise found.exception
    assert found.exit_code == 0, found.output
    return found


def owner(path: Path, token: str) -> str:
    return Registry(read_devices(path)).authenticate(Credentials(token), NOW).name


def test_token_is_printed_once_and_lets_its_device_in(path: Path) -> None:
    created = run(path, "create", "cam-1", "--role", "infer", "--role", "telemetry")
    token = created.stdout.strip()
    assert PATTERN.fullmatch(token)  # and nothing else on stdout
    assert owner(path, token) == "cam-1"
    listed = run(path, "list")
    as_json = json.loads(run(path, "list", "--json").stdout)
    assert as_json[0]["roles"] == ["infer", "telemetry"]
    assert as_json[0]["tokens"][0]["key"] == token.split("_")[1]
    for said in (listed.output, json.dumps(as_json), created.stderr, path.read_text()):
        assert token not in said
        assert token.split("_")[2] not in said
    digest = read_devices(path).devices[0].tokens[0].sha256
    assert digest not in listed.output + json.dumps(as_json) + created.output


def test_token_goes_to_a_private_file_instead(path: Path, tmp_path: Path) -> None:
    target = tmp_path / "cam.token"
    created = run(path, "create", "cam", "--role", "infer", "--token-file", str(target), "--json")
    token = target.read_text().strip()
    assert stat.S_IMODE(target.stat().st_mode) == 0o600
    assert owner(path, token) == "cam"
    assert token not in created.output
    assert "token" not in json.loads(created.stdout)
    # A second device must not take the file of the first, and is not made without its token.
    with pytest.raises(FileError, match="is there already, and stays"):
        run(path, "create", "two", "--role", "infer", "--token-file", str(target))
    assert [device.name for device in read_devices(path).devices] == ["cam"]
    assert target.read_text().strip() == token


def test_full_disk_leaves_devices_and_tokens_as_they_were(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(path, "create", "cam", "--role", "infer", "--token-file", str(tmp_path / "cam.token"))
    before = path.read_bytes()
    there = sorted(tmp_path.iterdir())
    with (
        full_disk(),
        pytest.raises(FileError, match=r"two\.token cannot be written: File too large"),
    ):
        run(path, "create", "two", "--role", "infer", "--token-file", str(tmp_path / "two.token"))

    # And where only the file of devices finds no room: the token would be nobody's.
    def write(*file: Any) -> None:
        with full_disk():
            write_private(*file)

    monkeypatch.setattr("cloud_server.security.device_file.write_private", write)
    for words in (("create", "two", "--role", "infer"), ("rotate", "cam")):
        with pytest.raises(FileError, match=r"devices\.json cannot be written: File too large"):
            run(path, *words, "--token-file", str(tmp_path / "two.token"))
    assert path.read_bytes() == before
    assert sorted(tmp_path.iterdir()) == there


def test_json_of_a_new_device_has_its_token_and_limits(path: Path) -> None:
    words = ["--role", "infer", "--model", "digits", "--streams", "2", "--bytes-per-s", "10MiB"]
    found = json.loads(run(path, "create", "cam", *words, "--expires", "30d", "--json").stdout)
    assert owner(path, found["token"]) == "cam"
    assert found["limits"] == {"streams": 2, "bytes_per_s": 10 * 2**20}
    assert found["models"] == ["digits"]
    kept = read_devices(path).devices[0].tokens[0]
    assert kept.expires is not None
    assert (kept.expires - kept.created).days == 30


def test_rotated_token_replaces_the_one_before(path: Path) -> None:
    old = run(path, "create", "cam", "--role", "infer").stdout.strip()
    new = run(path, "rotate", "cam").stdout.strip()
    assert owner(path, new) == "cam"
    with pytest.raises(UnauthenticatedError):
        owner(path, old)
    newest = run(path, "rotate", "cam", "--overlap", "12h").stdout.strip()
    assert owner(path, new) == owner(path, newest) == "cam"
    run(path, "revoke", "cam", "--token-key", new.split("_")[1])
    with pytest.raises(UnauthenticatedError):
        owner(path, new)
    assert owner(path, newest) == "cam"


def test_revoked_device_is_out_and_its_name_may_be_given_again(path: Path) -> None:
    old = run(path, "create", "cam", "--role", "infer").stdout.strip()
    with pytest.raises(UsageError, match="there is a device cam already"):
        run(path, "create", "cam", "--role", "infer")
    assert json.loads(run(path, "revoke", "cam", "--json").stdout)["state"] == "revoked"
    new = run(path, "create", "cam", "--role", "infer").stdout.strip()
    assert owner(path, new) == "cam"
    with pytest.raises(UnauthenticatedError):
        owner(path, old)
    run(path, "revoke", "cam")
    with pytest.raises(
        UnauthenticatedError, match="made anew: splitpoint-cloud devices create cam"
    ):
        owner(path, new)


def test_what_a_device_may_do_changes_and_its_token_stays(path: Path) -> None:
    words = ["--role", "infer", "--model", "a", "--streams", "2", "--requests-per-s", "5"]
    token = run(path, "create", "cam", *words).stdout.strip()
    changed = json.loads(
        run(path, "change", "cam", "--role", "fetch", "--streams", "3", "--json").stdout
    )
    assert (changed["roles"], changed["models"]) == (["fetch"], ["a"])
    assert changed["limits"] == {"streams": 3, "requests_per_s": 5.0}
    run(path, "change", "cam", "--model", "b*", "--model", "c")
    assert read_devices(path).devices[0].models == ("b*", "c")
    assert owner(path, token) == "cam"
    run(path, "revoke", "cam")
    with pytest.raises(UsageError, match="cam is revoked"):
        run(path, "change", "cam", "--role", "infer")


def test_limit_that_is_left_out_stays_and_is_lifted_by_a_word(path: Path) -> None:
    limits = "--streams", "2", "--requests-per-s", "5", "--bytes-per-s", "1MB"
    run(path, "create", "cam", "--role", "infer", *limits)
    for word, left in (
        ("--requests-per-s", {"streams": 2, "bytes_per_s": 1e6}),
        ("--streams", {"bytes_per_s": 1e6}),
        ("--bytes-per-s", {}),
    ):
        told = json.loads(run(path, "change", "cam", word, "default", "--json").stdout)
        assert told["limits"] == left


def test_list_shows_whole_keys_and_the_end_of_an_overlap_on_a_narrow_screen(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    roles = [word for role in ROLES for word in ("--role", role)]
    run(path, "create", "camera-by-the-gate", *roles, "--model", "resnet50-by-the-gate")
    run(path, "rotate", "camera-by-the-gate", "--overlap", "1h")
    (device,) = read_devices(path).devices
    listed = run(path, "list").stdout
    assert all(token.key in listed for token in device.tokens)
    assert f"until {device.tokens[0].expires:%Y-%m-%d %H:%M}" in listed
    run(path, "revoke", "camera-by-the-gate")
    listed = run(path, "list").stdout
    assert listed.count("(revoked)") == 2
    states = json.loads(run(path, "list", "--json").stdout)[0]["tokens"]
    assert {token["state"] for token in states} == {"revoked"}


def test_device_by_certificate_has_no_token(path: Path) -> None:
    created = run(path, "create", "cam", "--role", "infer", "--certificate")
    assert created.stdout == ""
    assert read_devices(path).devices[0].tokens == ()
    assert Registry(read_devices(path)).takes_certificates


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["create", "../x", "--role", "infer"], "'../x' is no name for a device"),
        (["create", "x", "--role", "root"], "'root' is no role. There are: infer, fetch"),
        (["create", "x", "--role", "infer", "--requests-per-s", "0"], "lets nothing through"),
        (["create", "x", "--role", "infer", "--token-file", "/none/t"], "cannot be written"),
        (["change", "cam", "--requests-per-s", "any"], "or default for what the server says"),
        (["change", "cam", "--streams", "0"], "lets nothing through"),
        (
            ["create", "x", "--role", "infer", "--certificate", "--token-file", "t"],
            "has no token to write",
        ),
        (["change", "cam", "--model", "a/b"], "Write a model as its bundle is called"),
        (["change", "cam", "--role", "root"], "'root' is no role"),
        (["revoke", "x"], "there is no device 'x'"),
        (["rotate", "x"], "there is no device 'x'"),
    ],
)
def test_mistake_is_told_and_changes_nothing(path: Path, words: list[str], said: str) -> None:
    run(path, "create", "cam", "--role", "infer")
    before = path.read_bytes()
    with pytest.raises(SplitpointError) as caught:
        run(path, *words)
    assert said in str(caught.value)
    assert path.read_bytes() == before
