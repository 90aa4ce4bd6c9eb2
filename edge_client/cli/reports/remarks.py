"""The remarks of `run` and `serve` on stderr (progress, cut, exits, moves, health); a client's options."""

import errno
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from edge_client.cli.reports.tally import Tally
from edge_client.cli.settings import EdgeSettings
from edge_client.client.async_client import AsyncEdgeClient
from edge_client.client.options import ClientOptions
from edge_client.cloud.absence import say_of_server
from edge_client.cloud.servers import ServerMove
from edge_client.control.power_watch import find_power
from edge_client.telemetry.health import Health, State
from edge_client.updates.update_state import Phase, UpdateState
from partitioner.bundle.bundle import Bundle
from partitioner.common.defaults import ExitThreshold
from partitioner.common.progress import OnProgress, unheard
from partitioner.common.units import format_duration, plural
from partitioner.exits.ladder import outdated_text
from partitioner.policy.estimates import PROBE_EVERY_S
from partitioner.terminal import console
from protos.errors import MismatchError, SourceError, UsageError
from protos.telemetry import DIGEST_SHOWN


def client_options(
    settings: EdgeSettings, bundle: Bundle, on_progress: OnProgress = unheard
) -> ClientOptions:
    """Return the options of the client that a command runs its `bundle` with.

    Raises UsageError or FileError for an objective, a device or power rules that cannot be.
    """
    rules, power = settings.power_rules, settings.power
    return replace(
        settings.client,
        bundle=bundle,
        objective=settings.aims.objective,
        terms=settings.terms,
        power=find_power(power.battery, power.temperature, rules, console.remark)
        if rules
        else None,
        edge_name=settings.reports.name,
        on_progress=on_progress,
    )


def tell_of_update(state: UpdateState) -> None:
    """Say what becomes of a version that the cloud offers."""
    digest = state.version_digest[:DIGEST_SHOWN]
    said = {
        Phase.FETCHING: f"fetching version {digest} beside the frames",
        Phase.CHECKING: f"checking version {digest} on this device",
        Phase.HELD: f"version {digest} is here and waits",
        Phase.TRIAL: f"serving by version {digest} from this frame on, on trial",
        Phase.IDLE: f"this device runs version {digest}",
        Phase.POSTPONED: f"version {digest} has been left for the one before",
        Phase.REFUSED: f"version {digest} is not used",
    }[state.phase]
    if digest:
        console.remark(f"{said}: {state.reason}" if state.reason else said)


@contextmanager
def shown_progress() -> Iterator[OnProgress]:
    """Show what takes long while connecting: as a bar on a terminal, else as remarks."""
    with console.progress() as progress:
        task = progress.add_task("connecting", total=None)

        def show(step: str, done: int, total: int) -> None:
            progress.update(task, description=f"measuring {step}", completed=done, total=total)
            if progress.disable and done == 0:  # no bar: the log gets a line
                steps = f" (1 of {total})" if total else ""
                console.remark(f"measuring {step.rstrip(', ')}{steps}")

        yield show


def tell_of_slowness(times: float) -> None:
    """Say so where the device is a rehearsal of a slower one."""
    if times > 1:
        console.remark(f"a rehearsal: the device is played {times:g} times as slow as this one")


def tell_of_link(options: ClientOptions) -> None:
    """Say so where the link that was given is not kept."""
    if options.link is not None and options.adapts:
        console.remark(
            f"{options.link} is the first guess of the link; the cloud's answers correct it, and "
            f"a probe every {format_duration(PROBE_EVERY_S)} while no frame crosses"
        )


def tell_of_labels(path: Path, labels: Mapping[str, int], names: Sequence[str]) -> None:
    """Say how many of the frames, as far as their names are known, have a label; SourceError if none has."""
    known = sum(name in labels for name in names)
    if names and not known:
        raise SourceError(
            f"labels {path} name none of the {plural(len(names), 'frame')} of the source: they name "
            f"{next(iter(labels))}, …, and the frames are {names[0]}, …. Write them alike, or leave out "
            "`labels`."
        )
    if known < len(names):
        console.remark(f"labels {path} know {known:,} of {plural(len(names), 'frame')}")


def tell_of_unlabelled(path: Path | None, tally: Tally) -> None:
    """Say so where labels were given, and no frame that came is called as one of them is."""
    if path is not None and tally.frames and not tally.named:
        console.complain(
            f"there is no accuracy: labels {path} name none of the {plural(tally.frames, 'frame')} that "
            f"came; the last one is called {tally.last_source}."
        )


def tell_of_choice(client: AsyncEdgeClient) -> None:
    """Say where the cut is and why, and what is wrong with the cloud, if anything is."""
    console.remark(f"cut {client.choice.label}, {client.choice.reason}")
    if client.trouble is not None and not client.cloud_is_away:
        console.warn(str(client.trouble))
    elif client.trouble is not None:
        heads_only = client.bundle.heads_only
        alone = "get the exit's answer, or none" if heads_only else "are finished on this device"
        console.warn(f"{client.trouble} Until that is mended, frames {alone}.")


def tell_of_plain_server(client: AsyncEdgeClient) -> None:
    """Say so where the cloud is a standard server: what it is, what it serves, and what it does not tell."""
    server = client.server
    if server is None or (plain := server.plain) is None or client.cloud_is_away:
        return
    served = plural(len(plain.labels), "cut with a codec", "cuts with codecs")
    unsure = "" if plain.tells_digest else ", whose weights it does not tell"
    wrong = f"; left alone: {'; '.join(plain.wrong)}" if plain.wrong else ""
    console.remark(
        f"the cloud is {plain.name}, a standard server: it serves {served}{unsure}{wrong}. It knows no "
        "profiles, checksums and times of ours"
    )


def tell_of_server(client: AsyncEdgeClient) -> None:
    """Say which server of several is in use."""
    if client.server_in_use is not None and not client.cloud_is_away:
        console.remark(f"of the servers, {client.server_in_use} is in use")


def tell_of_server_move(move: ServerMove) -> None:
    """Say which server is in use from now on, and why the one before is not."""
    why = say_of_server(move.error)
    console.remark(f"goes on with {move.after}, as {move.before} {why}")


def tell_of_exits(bundle: Bundle, threshold: ExitThreshold) -> None:
    """Say so where exits answer early from thresholds of their own that an older splitpoint chose."""
    if isinstance(threshold, str) and (text := outdated_text(bundle.known_exits(), bundle.path)):
        console.remark(text)


def tell_of_distrust(error: MismatchError | None) -> None:
    """Say what is wrong with the cloud's calibration, and when it no longer is."""
    if error:
        console.warn(str(error))
    else:
        console.remark("the cloud has this edge's calibration again")


async def tell_of_health(client: AsyncEdgeClient, state: State) -> None:
    """Say how the edge fares from now on, and what its cloud has failed with if that is not used."""
    say = console.remark if state.health is Health.HEALTHY else console.warn
    why = f". {client.trouble}" if state.health is Health.OFFLINE and client.trouble else ""
    say(f"{state.health}: {state.reason}{why}")
    if state.health is Health.HEALTHY:
        tell_of_plain_server(client)  # which may be another than before


def beat(path: Path) -> None:
    """Touch the file that a health check looks at; UsageError when that is not possible."""
    try:
        if path.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        path.touch()
    except OSError as error:
        raise UsageError(
            f"--heartbeat {path} cannot be touched: {error.strerror}. Give a file in a folder that "
            "exists and may be written to."
        ) from error
