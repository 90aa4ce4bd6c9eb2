"""`splitpoint-cloud rollout status`, `start`, `share`, `hold`, `resume` and `back`."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cloud_server import defaults
from partitioner.common.units import plural
from partitioner.terminal import console
from partitioner.terminal.app import new_app
from partitioner.terminal.connection_flags import secures_connections
from protos.errors import UsageError
from protos.security.channel_security import ChannelSecurity

if TYPE_CHECKING:
    from protos.splitpoint_pb2 import Rollout, SteerRolloutRequest, VersionUse

_TIMEOUT_S = 10.0
_SHOWN = 12

rollout = new_app(help="Who gets which version of a bundle, on a server that runs.")

Cloud = Annotated[str, typer.Option(metavar="HOST:PORT", help="The server.")]
Name = Annotated[str, typer.Argument(metavar="NAME", help="The bundle's name.")]
Share = Annotated[
    str, typer.Option(metavar="SHARE", help="Of the devices, by their names: 10% or 0.1.")
]


@rollout.command()
@secures_connections
def status(
    security: ChannelSecurity, cloud: Cloud = defaults.LISTEN, json: console.JsonFlag = False
) -> None:
    """Say what is rolled out to how many devices, and how they fare.

    Example: splitpoint-cloud rollout status --cloud cloud:50051
    """
    from protos.splitpoint_pb2 import ListRolloutsRequest

    answer = _ask(cloud, security, lambda server: server.ListRollouts, ListRolloutsRequest())
    _show(list(answer.rollouts), as_json=json)


@rollout.command()
@secures_connections
def start(
    security: ChannelSecurity,
    name: Name,
    version: Annotated[str, typer.Argument(metavar="VERSION", help="Its number or digest.")],
    share: Share = "10%",
    cloud: Cloud = defaults.LISTEN,
    json: console.JsonFlag = False,
) -> None:
    """Roll a version out that the server has beside the one that devices run.

    Example: splitpoint-cloud rollout start resnet50 0f933be631c5 --share 10%
    """
    given = _request(name, "start", version=version, share=parse_share(share))
    _steer(cloud, security, given, as_json=json)


@rollout.command("share")
@secures_connections
def share_command(
    security: ChannelSecurity,
    name: Name,
    share: Annotated[str, typer.Argument(metavar="SHARE", help="Of the devices: 50% or 0.5.")],
    cloud: Cloud = defaults.LISTEN,
    json: console.JsonFlag = False,
) -> None:
    """Give it to more devices, or to fewer: who had it at a smaller share has it at a larger one.

    Example: splitpoint-cloud rollout share resnet50 50%
    """
    _steer(cloud, security, _request(name, "share", share=parse_share(share)), as_json=json)


@rollout.command()
@secures_connections
def hold(
    security: ChannelSecurity,
    name: Name,
    cloud: Cloud = defaults.LISTEN,
    json: console.JsonFlag = False,
) -> None:
    """Let no device move, until `resume`.

    Example: splitpoint-cloud rollout hold resnet50
    """
    _steer(cloud, security, _request(name, "hold"), as_json=json)


@rollout.command()
@secures_connections
def resume(
    security: ChannelSecurity,
    name: Name,
    cloud: Cloud = defaults.LISTEN,
    json: console.JsonFlag = False,
) -> None:
    """Go on with what was held or rolled back.

    Example: splitpoint-cloud rollout resume resnet50
    """
    _steer(cloud, security, _request(name, "resume"), as_json=json)


@rollout.command()
@secures_connections
def back(
    security: ChannelSecurity,
    name: Name,
    cloud: Cloud = defaults.LISTEN,
    json: console.JsonFlag = False,
) -> None:
    """Let all devices that have it go back to the version before; said again, it is offered anew.

    Example: splitpoint-cloud rollout back resnet50
    """
    _steer(cloud, security, _request(name, "back"), as_json=json)


def parse_share(text: str) -> float:
    """Return a share of 0 to 1, written as 10% or 0.1; UsageError for what is none."""
    try:
        share = float(text.removesuffix("%")) / (100 if text.endswith("%") else 1)
    except ValueError:
        share = -1.0
    if not 0 <= share <= 1:
        raise UsageError(f"{text!r} is no share of the devices. Give 0% to 100%, or 0 to 1.")
    return share


def _request(
    name: str, action: str, *, version: str = "", share: float = 0.0
) -> "SteerRolloutRequest":
    from protos.splitpoint_pb2 import SteerRolloutRequest

    return SteerRolloutRequest(name=name, action=action, version=version, share=share)


def _steer(
    cloud: str, security: ChannelSecurity, given: "SteerRolloutRequest", *, as_json: bool
) -> None:
    answer = _ask(cloud, security, lambda server: server.SteerRollout, given)
    _show([answer.rollout], as_json=as_json)


def _ask(
    address: str, security: ChannelSecurity, method: Callable[[Any], Any], request: Any
) -> Any:
    """Return a server's answer; raises what it refuses, or UnreachableError."""
    import grpc

    from protos.rpc.calls import translate
    from protos.rpc.endpoints import Endpoint
    from protos.splitpoint_pb2_grpc import UpdatesStub

    server = Endpoint(address, security)
    with server.open() as channel:
        try:
            return method(UpdatesStub(channel))(request, timeout=_TIMEOUT_S)
        except grpc.RpcError as failure:
            raise translate(failure, server) from failure


def _show(rollouts: "Sequence[Rollout]", *, as_json: bool) -> None:
    if as_json:
        console.print_json({"rollouts": [_plain(one) for one in rollouts]})
        return
    if not rollouts:
        console.screen.print(
            "nothing is rolled out: devices go on with the versions that they have"
        )
    for one in rollouts:
        console.screen.print(_sentence(one), markup=False, soft_wrap=True)
        for use in one.uses:
            what = "  new   " if use.version_digest == one.version_digest else "  before"
            console.screen.print(
                f"{what} {_called(use)}: {plural(use.devices, 'device')}, "
                f"{plural(use.frames, 'frame')}, {use.fallbacks:,} fell back, {use.faults:,} failed"
                + (f"; refused by {use.refused:,}" if use.refused else ""),
                markup=False,
                soft_wrap=True,
            )
            is_new = use.version_digest == one.version_digest
            for reason in _reasons(one, use) if is_new else use.reasons:
                console.screen.print(f"         {reason}", markup=False)
        if one.warning:
            console.remark(f"warning: {one.warning}")


def _reasons(one: "Rollout", use: "VersionUse") -> list[str]:
    """Return why devices refuse the version; of one that went back, why they did so then."""
    if not one.refusals:
        return list(use.reasons)
    return [f"refused by {plural(told.devices, 'device')}: {told.reason}" for told in one.refusals]


def _sentence(one: "Rollout") -> str:
    new = next(use for use in one.uses if use.version_digest == one.version_digest)
    version, share = f"{one.name}: {_called(new)}", f"{one.share:.0%}"
    why = f", {one.reason}" if one.reason else ""
    if one.state == "back":
        return (
            f"{version} goes back from all devices that have it, and was for {share} of them{why}"
        )
    return f"{version} for {share} of the devices, {one.state}{why}"


def _called(use: "VersionUse") -> str:
    """Return what people call a version by: its release or number, its digest and its folder."""
    digest = use.version_digest[:_SHOWN]
    if not use.version:
        return f"version {digest} (not at this server)"
    kind = "release" if use.release else "version"
    return f"{kind} {use.version} ({digest}, in {use.folder})"


def _plain(one: "Rollout") -> dict[str, Any]:
    fields = ("name", "version_digest", "before_digest", "share", "state", "reason", "warning")
    called = ("version_digest", "version", "release", "folder")
    counts = ("devices", "refused", "frames", "fallbacks", "faults")
    return {
        **{field: getattr(one, field) for field in fields},
        "refusals": [{"reason": told.reason, "devices": told.devices} for told in one.refusals],
        "uses": [
            {**{one: getattr(use, one) for one in (*called, *counts)}, "reasons": list(use.reasons)}
            for use in one.uses
        ],
    }
