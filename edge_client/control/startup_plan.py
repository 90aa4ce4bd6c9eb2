"""The plan for the cut `auto`: profiles and link, measured where they are missing, and the best option."""

import logging

from partitioner.bundle.bundle import Bundle
from partitioner.common.memory import release_freed_pages
from partitioner.common.progress import OnProgress, unheard
from partitioner.common.units import plural
from partitioner.network.link import Link
from partitioner.planning.costs import price
from partitioner.planning.option import Option
from partitioner.planning.plan import Plan, plan
from partitioner.policy.settings import PolicySettings
from partitioner.policy.wording.reasons import say_amounts
from partitioner.profiles.profile import Machine, Profile
from partitioner.profiles.store import (
    CLOUD_PROFILE,
    EDGE_PROFILE,
    is_of_that_server,
    is_of_this_machine,
    keep_profile,
    kept_profile,
)
from partitioner.runtime.sessions import RuntimeOptions
from protos.errors import DeniedError, NetworkError, TooLargeError, UnauthenticatedError
from protos.rpc.endpoints import Endpoint

MEASURE_S = 10.0
GUESS = Link(5e6, 5e6, 0.05)
GUESSED_SCALE = 0.2
"""What a server takes of the seconds of this device, where nothing is known of it."""

_log = logging.getLogger(__name__)


def plan_with_cloud(
    bundle: Bundle,
    server: Endpoint,
    options: RuntimeOptions,
    *,
    link: Link | None = None,
    codec: str | None = None,
    accuracy_drop: float | None = None,
    slowdown: float = 1.0,
    on_progress: OnProgress = unheard,
) -> Plan:
    """Return the plan for `link`, or for the link to `server` as measured now.

    Profiles that the bundle lacks, or that come from another machine, are measured (10 s a side) and
    kept in it where that is possible. They hold for this device as it is; the plan is for one that takes
    `slowdown` times as long. A server that serves this device, and does not let it measure, is taken to be as
    what is kept of another, or five times as fast as the device: its answers correct that.
    """
    try:
        here = edge_profile(bundle, options, on_progress)
        cloud = _cloud_profile(bundle, server, here, on_progress)
    finally:
        release_freed_pages()  # every head and every tail has been in memory
    way = link or _measured_link(server, on_progress)
    edge = slower(here, slowdown)
    return plan(bundle, way, edge, cloud, codec=codec, accuracy_drop=accuracy_drop)


def kept_device(bundle: Bundle, options: RuntimeOptions, slowdown: float) -> Profile | None:
    """Return what the bundle keeps of this machine, `slowdown` times as slow; None if it keeps nothing."""
    kept = _kept_here(bundle, options)
    return kept and slower(kept, slowdown)


def plan_without_cloud(
    bundle: Bundle,
    link: Link | None,
    codec: str | None,
    accuracy_drop: float | None = None,
    slowdown: float = 1.0,
) -> Plan | None:
    """Return a plan from what the bundle keeps, without a server; None if that is too little.

    Without a link it is priced on a guess, which the first probes replace.
    """
    edge, cloud = kept_profile(bundle, EDGE_PROFILE), kept_profile(bundle, CLOUD_PROFILE)
    if edge is None or cloud is None:
        return None
    way, device = link or GUESS, slower(edge, slowdown)
    return plan(bundle, way, device, cloud, codec=codec, accuracy_drop=accuracy_drop)


def best_of(
    found: Plan, max_message_bytes: int | None = None, policy: PolicySettings | None = None
) -> tuple[Option, str]:
    """Return the plan's best option by the objective of `policy`, and the reason in words.

    Raises TooLargeError when every option sends more than `max_message_bytes`, which the server takes.
    """
    policy = policy or PolicySettings()
    fitting = [
        option
        for option in found.options
        if max_message_bytes is None or option.upload_bytes <= max_message_bytes
    ]
    if not fitting:
        raise TooLargeError(
            f"every option sends more than the {plural(max_message_bytes or 0, 'byte')} that the server "
            "takes. Raise its --max-message, or use another codec."
        )
    best = policy.objective.least(fitting, found, policy.terms)
    words = say_amounts(policy.objective, price(best, found, policy.terms).metric)
    return best, f"auto: {words} predicted on {found.link}"


def edge_profile(bundle: Bundle, options: RuntimeOptions, on_progress: OnProgress) -> Profile:
    """Return what the bundle keeps of this machine, or measure it and keep that."""
    from partitioner.profiles.profiler import measure_profile

    if (kept := _kept_here(bundle, options)) is not None:
        return kept
    tell = _prefixed("this device", on_progress)
    measured = measure_profile(bundle, options, budget_s=MEASURE_S, on_progress=tell)
    return keep_profile(bundle, EDGE_PROFILE, measured)


def _kept_here(bundle: Bundle, options: RuntimeOptions) -> Profile | None:
    from partitioner.profiles.machine import machine_of

    kept = kept_profile(bundle, EDGE_PROFILE)
    return kept if kept is not None and is_of_this_machine(kept, machine_of(options)) else None


def slower(edge: Profile, slowdown: float) -> Profile:
    """Return the profile of a device that takes `slowdown` times as long."""
    return edge if slowdown == 1 else edge.scaled(slowdown)


def _cloud_profile(
    bundle: Bundle, server: Endpoint, here: Profile, on_progress: OnProgress
) -> Profile:
    from partitioner.profiles.remote import measure_remote_profile

    kept, machine = kept_profile(bundle, CLOUD_PROFILE), _machine_at(server)
    if kept is not None and (machine is None or is_of_that_server(kept, machine)):
        return kept
    tell = _prefixed("the server", on_progress)
    try:
        measured = measure_remote_profile(server, bundle, budget_s=MEASURE_S, on_progress=tell)
    except DeniedError as error:
        guess = kept or (None if bundle.heads_only else here.scaled(GUESSED_SCALE))
        if guess is None or isinstance(error, UnauthenticatedError):
            raise
        _log.warning("the server's times are guessed until its answers tell them: %s", error)
        return guess
    return keep_profile(bundle, CLOUD_PROFILE, measured)


def _machine_at(server: Endpoint) -> Machine | None:
    """Return what a server says it runs on; None for an old one, and for one that is away just now."""
    from partitioner.profiles.remote import server_machine

    try:
        return server_machine(server)
    except NetworkError:
        return None


def _prefixed(whose: str, on_progress: OnProgress) -> OnProgress:
    return lambda step, done, total: on_progress(f"{whose}, {step}", done, total)


def _measured_link(server: Endpoint, on_progress: OnProgress) -> Link:
    from edge_client.cloud.link_measurement import measure_link, probing

    on_progress("the link", 0, 1)
    with probing(server) as probe:
        return measure_link(probe).link
