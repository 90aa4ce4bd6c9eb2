"""Files of TLS that are of no use, each with its sentence."""

import base64
import contextlib
import warnings
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from hypothesis import HealthCheck, example, given, settings
from hypothesis.strategies import integers

from protos.errors import CredentialError, UsageError
from protos.security.tls_files import TlsFiles, wrong_dates
from tests.kit.certificates import DAY, Authority, pem_of


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


def parts(files: TlsFiles) -> tuple[Path, Path]:
    assert files.cert
    assert files.key
    return files.cert, files.key


def test_what_was_read_is_what_lies_there_and_the_key_is_not_shown(authority: Authority) -> None:
    files = authority.issue(clients=authority.path)
    cert, key = parts(files)
    found = files.read_current()
    assert found.cert == cert.read_bytes()
    assert found.key == key.read_bytes()
    assert found.authorities == authority.path.read_bytes()
    assert "PRIVATE" not in repr(found)


def test_certificate_without_its_key_and_the_reverse_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="a certificate needs its key: a.crt was given alone"):
        TlsFiles(cert=Path("a.crt"))
    with pytest.raises(UsageError, match="a key needs its certificate"):
        TlsFiles(key=Path("a.key"))


def test_key_of_another_certificate_is_refused(authority: Authority) -> None:
    cert, _ = parts(authority.issue())
    _, key = parts(authority.issue(name="other"))
    with pytest.raises(
        CredentialError, match=r"other\.key does not belong to the certificate .*own"
    ):
        TlsFiles(cert, key).read()


def test_encrypted_key_is_refused_with_the_command_that_opens_it(authority: Authority) -> None:
    cert, key = parts(authority.issue())
    key.write_bytes(pem_of(load_pem_private_key(key.read_bytes(), None), b"secret"))
    with pytest.raises(CredentialError, match="is encrypted.*openssl pkey"):
        TlsFiles(cert, key).read()


@pytest.mark.parametrize("share", [0.0, 0.3, 0.9])
def test_half_written_file_is_refused(authority: Authority, share: float) -> None:
    files = authority.issue(clients=authority.path)
    for path in files.paths:
        whole = path.read_bytes()
        path.write_bytes(whole[: int(share * len(whole))])
        with pytest.raises(CredentialError, match=f"{path.name} .*or half of one"):
            files.read()
        path.write_bytes(whole)
    files.read()


@given(place=integers(min_value=0), sign=integers(0, 255), which=integers(0, 2))
@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
@example(place=13, sign=57, which=0)  # the version
def test_damaged_file_is_refused_or_as_good_as_before(
    authority: Authority, place: int, sign: int, which: int
) -> None:
    files = authority.issue(clients=authority.path)
    path = files.paths[which]
    path.write_bytes(damaged(path.read_bytes(), place, sign))
    with warnings.catch_warnings(), contextlib.suppress(CredentialError):
        warnings.simplefilter("ignore")  # the parser's, of what it will refuse one day
        files.server_context()


def damaged(pem: bytes, place: int, sign: int) -> bytes:
    """Change one byte of what the first block of a PEM file holds."""
    head, body, *_ = pem.split(b"-----\n")
    text, _, _ = body.partition(b"-----END")
    held = bytearray(base64.b64decode(text))
    held[place % len(held)] = sign
    kind = head.removeprefix(b"-----BEGIN ")
    return head + b"-----\n" + base64.encodebytes(held) + b"-----END " + kind + b"-----\n"


def test_file_that_is_missing_or_may_not_be_read_is_named(authority: Authority) -> None:
    cert, key = parts(authority.issue())
    with pytest.raises(
        CredentialError, match=r"the certificate none\.crt cannot be read: No such file"
    ):
        TlsFiles(Path("none.crt"), key).read()
    with pytest.raises(CredentialError, match="the key .* cannot be read: Is a directory"):
        TlsFiles(cert, authority.folder).read()


def test_key_that_every_user_may_read_is_told(
    authority: Authority, caplog: pytest.LogCaptureFixture
) -> None:
    files = authority.issue()
    files.warn_of_open_key()
    TlsFiles().warn_of_open_key()
    TlsFiles(Path("none"), Path("none")).warn_of_open_key()
    assert not caplog.records
    _, key = parts(files)
    key.chmod(0o644)
    files.warn_of_open_key()
    assert f"every user of this machine may read the key {key}" in caplog.text


def test_certificate_outside_of_its_dates_is_refused_where_it_would_serve(
    authority: Authority,
) -> None:
    old = authority.issue(valid=(-9 * DAY, -2 * DAY))
    with pytest.raises(CredentialError, match=r"own\.crt expired on .*set this machine's clock"):
        old.read_current()
    early = authority.issue(name="early", valid=(2 * DAY, 9 * DAY))
    with pytest.raises(CredentialError, match=r"early\.crt is valid from .* on, and it is"):
        early.read_current()
    old.read()  # a client may: the server tells it, and frames go on meanwhile


def test_dates_are_judged_by_the_moment_given(authority: Authority) -> None:
    cert, _ = parts(authority.issue(valid=(-DAY, DAY)))
    now = datetime.now(UTC)
    assert not wrong_dates(cert.read_bytes(), now)
    assert wrong_dates(cert.read_bytes(), now + 2 * DAY).startswith("expired on ")
    assert wrong_dates(cert.read_bytes(), now - 2 * DAY).startswith("is valid from ")
