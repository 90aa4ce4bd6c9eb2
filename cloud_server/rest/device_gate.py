"""The gate on REST: the token or the certificate of a device, and what its role lets it ask for."""

from collections.abc import Awaitable, Callable

from fastapi import Request

from cloud_server.rest.client_certificates import certificate_names
from cloud_server.security.credentials import Credentials, bearer_token
from cloud_server.security.gate import Gate
from cloud_server.security.rules import REST_RULES
from protos.errors import DeniedError, SplitpointError
from protos.serving.callers import CALLER

_CHARGED = "splitpoint.charged"


def device_gate(gate: Gate) -> Callable[[Request], Awaitable[None]]:
    """Return what lets devices in, and sets CALLER for the rest of the request.

    It may be asked again once the body has come, and charges a request once. It raises
    UnauthenticatedError, DeniedError or OverloadedError.
    """

    async def admit(request: Request) -> None:
        path = request.scope["route"].path
        try:
            CALLER.set(_admitted(gate, path, request))
        except SplitpointError as error:
            who = request.client.host if request.client else "somebody"
            gate.note_refusal(who, f"{request.method} {path}", error)
            raise

    return admit


def _admitted(gate: Gate, path: str, request: Request) -> str:
    """Return the name of the device that may make a request; it counts then."""
    rule = REST_RULES.get(path)
    if rule is None:
        raise DeniedError(f"{path} has no rule that says who may ask for it. Nobody may.")
    token = bearer_token(request.headers.items())
    device = gate.admit(Credentials(token, certificate_names(request.scope)), rule)
    if rule.is_charged and _CHARGED not in request.scope:
        gate.charge(device, 0)
        request.scope[_CHARGED] = True
    return device.name
