"""The registry: which registered device a caller is."""

from datetime import datetime

from cloud_server.security.credentials import Credentials
from cloud_server.security.device_file import DeviceDocument
from cloud_server.security.registered_device import RegisteredDevice, TokenRecord
from cloud_server.security.tokens import read_token
from protos.errors import UnauthenticatedError

_NEW_TOKEN = "Ask for a new one: splitpoint-cloud devices rotate."  # noqa: S105 - a sentence
WHO_CALLS = (
    "this server asks who calls. Send the token of a device as `authorization: Bearer TOKEN`, or show its "
    "client certificate. Make a device with: splitpoint-cloud devices create."
)


class Registry:
    """The devices of one reading of their file, found by token or name in a time that does not grow."""

    def __init__(self, document: DeviceDocument) -> None:
        self._by_name = {device.name: device for device in document.devices}
        self._by_key: dict[str, tuple[RegisteredDevice, TokenRecord]] = {
            token.key: (device, token) for device in document.devices for token in device.tokens
        }
        self.takes_certificates = any(device.certificate for device in document.devices)

    def find(self, name: str) -> RegisteredDevice | None:
        """Return the device of this name that is not revoked; None when there is none."""
        found = self._by_name.get(name)
        return found if found is not None and found.revoked is None else None

    def authenticate(self, credentials: Credentials, now: datetime) -> RegisteredDevice:
        """Return the device that shows these credentials; a token, where there is one, says it alone.

        Raises UnauthenticatedError, which says of a token's state only what its holder may know.
        """
        if credentials.token:
            return self._of_token(credentials.token, now)
        if credentials.certificate_names:
            return self._of_certificate(credentials.certificate_names)
        raise UnauthenticatedError(WHO_CALLS)

    def _of_token(self, text: str, now: datetime) -> RegisteredDevice:
        token = read_token(text)
        found = self._by_key.get(token.key) if token else None
        if token is None or found is None or not token.fits(found[1].sha256):
            raise UnauthenticatedError(f"this server does not know the token. {_NEW_TOKEN}")
        device, record = found
        if device.revoked is not None:
            raise UnauthenticatedError(
                f"the token of device {device.name} is revoked, with the whole device. Ask for it to be made "
                f"anew: splitpoint-cloud devices create {device.name}."
            )
        state = record.state(now)
        if state != "valid":
            raise UnauthenticatedError(
                f"the token of device {device.name} is {state}. {_NEW_TOKEN}"
            )
        return device

    def _of_certificate(self, names: tuple[str, ...]) -> RegisteredDevice:
        known = [self._by_name[name] for name in names if name in self._by_name]
        devices = [device for device in known if device.certificate]
        if len(devices) > 1:
            both = " and ".join(device.name for device in devices)
            raise UnauthenticatedError(
                f"the client certificate is of the devices {both}. Show a certificate of one."
            )
        if not devices:
            raise UnauthenticatedError(
                "the client certificate is of no device that this server knows by its certificate. Make one "
                "with: splitpoint-cloud devices create NAME --certificate."
            )
        if devices[0].revoked is not None:
            raise UnauthenticatedError(f"device {devices[0].name} is revoked.")
        return devices[0]
