"""Listeners that others reach: what they need, and what is said of them."""

import logging

import pytest

from protos.errors import UsageError
from protos.security.exposure import Exposure, is_loopback

NOTHING = Exposure(tls=False, authenticates=False, insecure=False, remedy="Give `tls_cert`.")
OUTSIDE = ("0.0.0.0:1", "[::]:1", "10.0.0.2:1", "cloud.example:1", "localhost.example:1")


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.8.8", "::1", "[::1]", "localhost"])
def test_loopback_is_within(host: str) -> None:
    assert is_loopback(host)
    NOTHING.check(f"{host}:1", "listen")


@pytest.mark.parametrize("address", OUTSIDE)
def test_listener_beyond_this_machine_needs_something_that_secures_it(address: str) -> None:
    with pytest.raises(UsageError, match=r"nothing secures it.*Give `tls_cert`\..*`insecure`"):
        NOTHING.check(address, "listen")
    Exposure(True, False, False).check(address, "listen")
    Exposure(False, True, False).check(address, "listen")
    Exposure(False, False, True).check(address, "listen")


@pytest.mark.parametrize(
    ("tls", "authenticates", "said"),
    [
        (False, False, "can read and change what is sent and may use it"),
        (True, False, "whoever reaches it may use it"),
        (False, True, "whoever reaches it can read and change what is sent"),
    ],
)
def test_what_others_can_do_is_logged(
    caplog: pytest.LogCaptureFixture, tls: bool, authenticates: bool, said: str
) -> None:
    Exposure(tls, authenticates, True).announce("0.0.0.0:50051")
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert record.getMessage().startswith("INSECURE: 0.0.0.0:50051 ")
    assert record.getMessage().endswith(said)


def test_nothing_is_said_of_what_others_cannot_reach_or_is_secured(
    caplog: pytest.LogCaptureFixture,
) -> None:
    NOTHING.announce("127.0.0.1:1")
    Exposure(True, True, True).announce("0.0.0.0:1")
    assert not caplog.records
