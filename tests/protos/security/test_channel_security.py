"""What a client shows of itself, where it may, and that none of it is shown elsewhere."""

import os
import stat
from pathlib import Path

import pytest

from protos.errors import CredentialError, UsageError
from protos.security.channel_security import ChannelSecurity
from protos.security.tls_files import TlsFiles

TOKEN = "spt_0123456789abcdef"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "token"
    path.write_text(f"{TOKEN}\n")
    path.chmod(0o600)
    return path


def test_token_of_a_file_is_read_without_its_line_break(file: Path) -> None:
    assert ChannelSecurity(token_file=file).read_token() == TOKEN
    assert ChannelSecurity(token=TOKEN).read_token() == TOKEN
    assert ChannelSecurity().read_token() == ""


@pytest.mark.parametrize("mode", [0o604, 0o620, 0o611])
def test_token_file_that_is_open_to_others_is_refused(file: Path, mode: int) -> None:
    file.chmod(mode)
    with pytest.raises(CredentialError, match=f"open to other users.*chmod 600 {file}") as caught:
        ChannelSecurity(token_file=file).read_token()
    assert TOKEN not in str(caught.value)


def test_token_file_that_an_orchestrator_mounts_for_a_group_is_read(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = os.stat_result((stat.S_IFREG | 0o440, 1, 1, 1, 0, 0, 0, 0, 0, 0))
    monkeypatch.setattr(os, "fstat", lambda _file: found)
    assert ChannelSecurity(token_file=file).read_token() == TOKEN


@pytest.mark.parametrize(
    ("held", "said"),
    [
        (b"", "is empty"),
        (b" \n\n", "is empty"),
        (b"two words", "is no token"),
        (b"one\ntwo", "is no token"),
        (b"caf\xc3\xa9", "is no token"),
        (b"\x00\x01", "is no token"),
        (b"\xff\xfe", "cannot be read"),
        (b"a" * 5000, "at most 4,096"),
    ],
)
def test_token_file_that_holds_no_token_is_refused_without_showing_what_it_holds(
    file: Path, held: bytes, said: str
) -> None:
    file.write_bytes(held)
    with pytest.raises(CredentialError, match=said) as caught:
        ChannelSecurity(token_file=file).read_token()
    assert "two" not in str(caught.value)


def test_missing_token_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(CredentialError, match="none cannot be read: No such file"):
        ChannelSecurity(token_file=tmp_path / "none").read_token()


def test_token_goes_in_the_clear_to_this_machine_alone(file: Path) -> None:
    for security in (ChannelSecurity(token=TOKEN), ChannelSecurity(token_file=file)):
        for near in ("127.0.0.1:1", "[::1]:1", "localhost:1", "unix:/run/splitpoint"):
            security.check_address(near)
        for far in ("10.0.0.2:1", "cloud.example:1", "0.0.0.0:1"):
            with pytest.raises(UsageError, match="in the clear.*`tls_ca`.*`insecure`") as caught:
                security.check_address(far)
            assert TOKEN not in str(caught.value)
    ChannelSecurity(token=TOKEN, insecure=True).check_address("10.0.0.2:1")
    ChannelSecurity(token=TOKEN, tls=True).check_address("10.0.0.2:1")
    ChannelSecurity().check_address("10.0.0.2:1")


def test_what_is_of_tls_asks_for_tls() -> None:
    assert ChannelSecurity(files=TlsFiles(authorities=Path("ca.pem"))).tls
    assert ChannelSecurity(server_name="cloud").tls
    assert not ChannelSecurity(token=TOKEN).tls


def test_two_tokens_are_one_too_many_and_neither_is_shown(file: Path) -> None:
    with pytest.raises(UsageError, match="names another. Give one") as caught:
        ChannelSecurity(token=TOKEN, token_file=file)
    assert TOKEN not in str(caught.value)


def test_token_is_not_in_the_text_of_what_holds_it(file: Path) -> None:
    security = ChannelSecurity(token=TOKEN)
    assert TOKEN not in f"{security!r} {security}"
