"""Who a caller is: by token, by certificate, and not otherwise."""

from datetime import timedelta

import pytest

from cloud_server.security.credentials import Credentials
from cloud_server.security.device_file import DeviceDocument
from cloud_server.security.registered_device import RegisteredDevice
from cloud_server.security.registration import revoked
from cloud_server.security.registry import Registry
from cloud_server.security.tokens import new_token
from protos.errors import UnauthenticatedError
from tests.kit.devices import NOW, certified, device_of


def registry_of(*devices: RegisteredDevice) -> Registry:
    return Registry(DeviceDocument(devices=devices))


def refusal(registry: Registry, credentials: Credentials) -> str:
    with pytest.raises(UnauthenticatedError) as caught:
        registry.authenticate(credentials, NOW)
    return str(caught.value)


def test_each_token_is_of_its_device() -> None:
    found = [device_of(f"cam-{number}", "infer") for number in range(20)]
    registry = registry_of(*(device for device, _ in found))
    for device, token in found:
        assert registry.authenticate(Credentials(token.text), NOW) == device


def test_wrong_secret_says_the_same_as_an_unknown_key() -> None:
    device, token = device_of("cam", "infer")
    registry = registry_of(device)
    other = new_token().text
    forged = f"spt_{token.key}_{other[-64:]}"
    said = {refusal(registry, Credentials(text)) for text in (other, forged, "spt_x", "é")}
    assert said == {
        "this server does not know the token. Ask for a new one: splitpoint-cloud devices rotate."
    }


def test_holder_of_a_token_hears_that_it_is_revoked_or_expired() -> None:
    device, token = device_of("cam", "infer", expires=NOW)
    assert "of device cam is expired" in refusal(registry_of(device), Credentials(token.text))
    gone = registry_of(revoked(device, NOW - timedelta(days=1)))
    assert "of device cam is revoked" in refusal(gone, Credentials(token.text))
    assert gone.find("cam") is None


def test_certificate_stands_only_for_a_device_that_says_so() -> None:
    by_token, _ = device_of("cam", "infer")
    by_certificate = certified("box", "infer")
    registry = registry_of(by_token, by_certificate)
    assert registry.authenticate(Credentials("", ("box", "box.lan")), NOW) == by_certificate
    for names in (("cam",), ("BOX",), ("nobody",)):
        assert "is of no device" in refusal(registry, Credentials("", names))
    both = registry_of(by_certificate, certified("bin", "infer"))
    assert "is of the devices box and bin" in refusal(both, Credentials("", ("box", "bin")))
    gone = registry_of(revoked(by_certificate, NOW))
    assert refusal(gone, Credentials("", ("box",))) == "device box is revoked."


def test_wrong_token_is_not_made_good_by_a_right_certificate() -> None:
    registry = registry_of(certified("box", "infer"))
    assert "does not know the token" in refusal(registry, Credentials(new_token().text, ("box",)))


def test_who_shows_nothing_hears_what_to_show() -> None:
    assert "Send the token of a device" in refusal(registry_of(), Credentials())
