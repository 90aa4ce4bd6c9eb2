"""The dates of certificates, as they are told to those who have to renew them."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from protos.security.certificate_dates import CertificateDates
from protos.security.server_tls import ServerTls
from protos.security.tls_files import TlsFiles
from tests.kit.certificates import DAY, Authority


def days_from_now(end_s: float) -> float:
    return (end_s - datetime.now(UTC).timestamp()) / DAY.total_seconds()


def test_dates_follow_the_files_and_outlast_broken_ones(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    files = authority.issue(valid=(-DAY, 3 * DAY), clients=authority.path)
    dates = CertificateDates(files)
    assert days_from_now(dates.read()["own"][1]) == pytest.approx(3, abs=0.01)
    assert dates.read()["authorities"][1] > dates.read()["own"][1]
    authority.issue(valid=(-DAY, 90 * DAY))
    assert days_from_now(dates.read()["own"][1]) == pytest.approx(90, abs=0.01)
    assert files.cert
    files.cert.write_text("half of a certificate")
    assert days_from_now(dates.read()["own"][1]) == pytest.approx(90, abs=0.01)
    assert CertificateDates(TlsFiles()).read() == {}


def test_last_of_several_authorities_counts_as_one_takes_over_from_the_other(
    tmp_path: Path,
) -> None:
    old, new = Authority(tmp_path, "old"), Authority(tmp_path / "new", "new")
    both = tmp_path / "both.pem"
    both.write_bytes(old.path.read_bytes() + new.path.read_bytes())
    alone = [CertificateDates(TlsFiles(authorities=each.path)).read() for each in (old, new)]
    together = CertificateDates(TlsFiles(authorities=both)).read()
    last = max(alone, key=lambda each: each["authorities"][1])
    assert together["authorities"] == last["authorities"]


def test_server_tells_the_end_of_what_is_in_use_though_a_broken_file_lies_there(
    tmp_path: Path,
) -> None:
    authority = Authority(tmp_path)
    files = authority.issue(valid=(-DAY, 3 * DAY))
    tls = ServerTls(files)
    assert set(tls.dates) == {"own"}
    assert files.cert
    files.cert.write_text("half of a certificate")
    assert days_from_now(tls.dates["own"][1]) == pytest.approx(3, abs=0.01)
