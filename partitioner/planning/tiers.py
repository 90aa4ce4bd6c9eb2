"""Plans for three machines in a row: the device, a near edge (a gateway, a base station), the cloud.

Two cuts of one bundle, the first inside the second, give three pieces. A value crosses each link once,
and what the cloud answers comes back over both. Every pair of measured options is priced; whether a
better pair exists that the bundle lacks, `Search.best` on three tiers knows (by the seconds of nodes).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from partitioner.bundle.bundle import Bundle
from partitioner.common.defaults import DEFAULT_ACCURACY_DROP
from partitioner.network.link import Link
from partitioner.planning.option import Option
from partitioner.planning.plan import plan
from partitioner.profiles.profile import CutProfile, Profile, StageProfile
from partitioner.profiles.stage_order import heads_of
from protos.errors import UsageError
from protos.names import EDGE


@dataclass(frozen=True)
class TierOption:
    """Two cuts with their codecs: what lies before `first` runs on the device, behind `second` in the cloud.

    If the two are the same, the near edge passes the frame on as it is. Each pair holds what concerns
    the link to the near edge, then that to the cloud.
    """

    first: str
    second: str
    codecs: tuple[str, str]
    compute_s: tuple[float, float, float]
    network_s: tuple[float, float]
    upload_bytes: tuple[float, float]
    download_bytes: tuple[float, float]
    drop_points: float = 0.0
    """What both codecs were measured to lose, one after the other: at most the sum of what each loses."""

    @property
    def total_s(self) -> float:
        """Seconds from the frame to its result."""
        return sum(self.compute_s) + sum(self.network_s)

    @property
    def machines(self) -> int:
        """How many machines a frame visits."""
        return 1 + (self.first != EDGE) + (self.second != EDGE)


def plan_tiers(
    bundle: Bundle,
    links: tuple[Link, Link],
    profiles: tuple[Profile, Profile, Profile],
    loads: tuple[float, float, float] = (1.0, 1.0, 1.0),
    *,
    codec: str | None = None,
    accuracy_drop: float | None = None,
) -> tuple[TierOption, ...]:
    """Return every option of the three machines, the fastest first.

    `links` lead from the device to the near edge and from there to the cloud; `loads` multiply the times
    of each machine's profile. `codec` and `accuracy_drop` are those of `plan`; where two codecs follow
    each other, both together keep to the limit.
    Raises BundleError where the bundle keeps no graph to see which cuts lie in
    which, ProfileError where a profile is of another bundle.
    """
    if min(loads) <= 0:
        raise UsageError(f"loads of {list(loads)} have no meaning. Give factors above 0.")
    device, near, cloud = (
        profile.scaled(load) if load != 1 else profile
        for profile, load in zip(profiles, loads, strict=True)
    )
    heads = heads_of(bundle)
    firsts = plan(bundle, links[0], device, near, codec=codec, accuracy_drop=accuracy_drop).options
    seconds = plan(bundle, links[1], near, cloud, codec=codec, accuracy_drop=accuracy_drop).options
    options = [
        _option(near, first, second)
        for first in firsts
        for second in seconds
        if heads[first.cut] <= heads[second.cut]
        and (first.cut != second.cut or first.codec == second.codec)
    ]
    if codec is None or accuracy_drop is not None:
        most = DEFAULT_ACCURACY_DROP if accuracy_drop is None else accuracy_drop
        options = [option for option in options if option.drop_points <= most]
    return tuple(sorted(options, key=lambda option: (option.total_s, option.machines)))


def _option(near: Profile, first: Option, second: Option) -> TierOption:
    if first.cut == second.cut:
        middle_s = 0.0 if first.cut == EDGE else near.resume_s + near.crossing_s
    elif second.cut == EDGE:
        middle_s = first.cloud_s
    else:
        here, there = near.cuts[first.cut], near.cuts[second.cut]
        codecs_s = here.codecs[first.codec].decode_s + there.codecs[second.codec].encode_s
        idle_s = near.resume_s + near.crossing_s
        resume_s = min(stage.resume_s for stage in (here.tail, there.head) if stage)
        middle_s = idle_s + resume_s + codecs_s + estimate_between(here, there)
    ups = (first.upload_bytes, second.upload_bytes)
    downs = (first.download_bytes, second.download_bytes)
    return TierOption(
        first=first.cut,
        second=second.cut,
        codecs=(first.codec, second.codec),
        compute_s=(first.edge_s, middle_s, second.cloud_s),
        network_s=(first.network_s, second.network_s),
        upload_bytes=ups,
        download_bytes=downs,
        drop_points=_lost(first) + (_lost(second) if second.cut != first.cut else 0.0),
    )


def _lost(option: Option) -> float:
    return max(0.0, option.accuracy.drop_points) if option.accuracy else 0.0


def estimate_between(before: CutProfile, behind: CutProfile) -> float:
    """Return the seconds of the nodes between two cuts, one in the other, on the machine of their profile.

    What the later head takes more than the earlier, and what the earlier tail takes more than the later,
    are two measurements of it; their mean has less noise than either.
    """
    heads = _seconds(behind.head) - _seconds(before.head)
    tails = _seconds(before.tail) - _seconds(behind.tail)
    return max(0.0, (heads + tails) / 2)


def _seconds(stage: StageProfile | None) -> float:
    return stage.frame_s if stage else 0.0


def fastest_by_machines(options: Sequence[TierOption]) -> Iterator[TierOption]:
    """Yield the fastest option that takes one machine, then two, then three."""
    for machines in (1, 2, 3):
        yield min(
            (option for option in options if option.machines == machines),
            key=lambda option: option.total_s,
        )
