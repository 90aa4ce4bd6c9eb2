"""Registered devices: names, the models that they may use, and what is shown of them."""

from datetime import timedelta

import pytest
from pydantic import ValidationError

from cloud_server.security.registered_device import RegisteredDevice
from tests.kit.devices import NOW, device_of


@pytest.mark.parametrize("name", ["cam-1", "a", "A.b_c-9", "0" * 64])
def test_plain_name_is_taken(name: str) -> None:
    assert RegisteredDevice(name=name, roles=(), created=NOW).name == name


@pytest.mark.parametrize(
    "name",
    ["", "-a", ".", "a b", "a/b", "../a", "a\n", "a\x00", "cäm", "а", "a" * 65, "\u202ea", "a;b", "%61"],
)  # fmt: skip
def test_name_with_other_signs_is_refused(name: str) -> None:
    with pytest.raises(ValidationError):
        RegisteredDevice(name=name, roles=(), created=NOW)


def test_pattern_allows_bundles_and_no_others() -> None:
    device, _ = device_of("cam", "infer", models=["digits", "cam-*", "v?"])
    assert [
        name
        for name in ("digits", "digits2", "digits.v2", "cam-", "cam-1", "scam-1", "v1", "v12")
        if device.may_use(name)
    ] == ["digits", "cam-", "cam-1", "v1"]
    assert not device.uses_all


def test_token_is_good_until_it_expires_or_is_revoked_whatever_the_clock_says() -> None:
    device, _ = device_of("cam", "infer", expires=NOW + timedelta(hours=1))
    token = device.tokens[0]
    assert token.state(NOW) == "valid"
    assert token.state(NOW + timedelta(hours=1)) == "expired"
    # A server whose clock is a year behind the one that made the token serves it all the same,
    assert token.state(NOW - timedelta(days=365)) == "valid"
    # and one whose clock is behind the time of its revocation refuses it.
    revoked = token.model_copy(update={"revoked": NOW})
    assert revoked.state(NOW - timedelta(days=365)) == "revoked"


def test_digest_is_not_shown() -> None:
    device, token = device_of("cam", "infer")
    for shown in (repr(device), str(device), repr(device.tokens), repr(device.tokens[0])):
        assert token.digest not in shown
        assert token.text not in shown
