"""Devices as they are made, given another token, and revoked."""

from datetime import timedelta

import pytest

from cloud_server.security.registered_device import Role
from cloud_server.security.registration import register, revoked, rotated, without_token
from protos.errors import UsageError
from tests.kit.devices import NOW, UNLIMITED, certified, device_of

HOUR = timedelta(hours=1)


def test_roles_are_those_that_were_given_and_no_others() -> None:
    for role in Role:
        assert device_of("cam", role.value)[0].roles == (role,)


def test_what_cannot_be_is_told_what_was_wanted() -> None:
    with pytest.raises(UsageError, match=r"'a b' is no name for a device\. Use 1 to 64 of the"):
        register("a b", ["infer"], None, UNLIMITED, False, NOW, None)
    with pytest.raises(UsageError, match=r"'root' is no role\. There are: infer, fetch, telemetry"):
        register("a", ["root"], None, UNLIMITED, False, NOW, None)
    with pytest.raises(UsageError, match=r"models\.0: .*Write a model as its bundle is called"):
        register("a", ["infer"], ["[a-z]"], UNLIMITED, False, NOW, None)
    with pytest.raises(UsageError, match="has no token that could expire"):
        register("a", ["infer"], None, UNLIMITED, True, NOW, NOW)


def test_rotation_ends_the_tokens_from_before_at_once_or_after_the_overlap() -> None:
    device, old = device_of("cam", "infer")
    at_once, new = rotated(device, NOW, NOW, None)
    assert [token.key for token in at_once.tokens] == [new.key]
    later, newer = rotated(device, NOW, NOW + HOUR, None)
    assert [(one.key, one.state(NOW), one.state(NOW + HOUR)) for one in later.tokens] == [
        (old.key, "valid", "expired"),
        (newer.key, "valid", "valid"),
    ]


def test_overlap_gives_no_token_more_time_than_it_had() -> None:
    device, _ = device_of("cam", "infer", expires=NOW + HOUR)
    later, _ = rotated(device, NOW, NOW + 9 * HOUR, None)
    assert later.tokens[0].expires == NOW + HOUR
    after, new = rotated(later, NOW + HOUR, NOW + 9 * HOUR, None)
    assert [token.key for token in after.tokens] == [later.tokens[1].key, new.key]


def test_what_has_no_token_to_rotate_is_said() -> None:
    device, _ = device_of("cam", "infer")
    with pytest.raises(UsageError, match="cam is revoked. Register it anew"):
        rotated(revoked(device, NOW), NOW, NOW, None)
    with pytest.raises(UsageError, match="shows a certificate and has no token"):
        rotated(certified("cam", "infer"), NOW, NOW, None)


def test_one_token_of_two_is_revoked_by_its_key() -> None:
    device, first = device_of("cam", "infer")
    device, second = rotated(device, NOW, NOW + HOUR, None)
    device = without_token(device, first.key, NOW)
    assert [(one.key, one.state(NOW)) for one in device.tokens] == [
        (first.key, "revoked"),
        (second.key, "valid"),
    ]
    with pytest.raises(UsageError, match=f"no token of the key 'x'. It has: {first.key}, "):
        without_token(device, "x", NOW)


def test_second_revocation_keeps_the_time_of_the_first() -> None:
    device = revoked(device_of("cam", "infer")[0], NOW)
    assert revoked(device, NOW + HOUR).revoked == NOW
