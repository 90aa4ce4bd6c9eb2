"""From two profiles and a link to a decision: the options, their costs, and where the best changes.

    T = T_edge + T_network + T_cloud            (Neurosurgeon, ASPLOS 2017, section 4)
    T = T_edge + T_exit + (1 - p) · (T_network + T_cloud)   where an exit answers with the chance p

For a fixed pair of profiles T is a straight line in 1/uplink, so the best options form the lower
envelope of a few lines, and each switching point is the crossing of two of them.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from types import NoneType
from typing import Any

from partitioner.bundle.accuracy import is_allowed
from partitioner.bundle.bundle import Bundle
from partitioner.bundle.exits import Exit, ExitCost
from partitioner.common.arguments import need, need_numbers
from partitioner.common.nearest import nearest
from partitioner.common.tables import data_frame, html_table, text_table
from partitioner.common.units import format_duration, plural
from partitioner.network.link import Link
from partitioner.planning.option import CELLS, LastResort, Option, OptionColumns
from partitioner.planning.switches import Switch, find_switches, leading
from partitioner.profiles.profile import CutProfile, Profile, StageProfile
from partitioner.profiles.store import stale_profiles
from protos.codecs.registry import codec_name, is_calibrated
from protos.errors import ProfileError, UnknownNameError, UsageError
from protos.names import EDGE


@dataclass(frozen=True)
class Plan:
    """The options of one bundle on one link, in the order of the cuts, and the best of them."""

    bundle: Bundle
    link: Link
    edge: Profile
    cloud: Profile
    options: tuple[Option, ...]
    accuracy_drop: float | None = None
    """Points that options were allowed to lose; None: no bound was given, see `is_allowed`."""
    left_out: int = 0
    """Options that lose more, or an unknown amount."""

    def __repr__(self) -> str:
        count = len(self.options)
        return (
            f"<Plan of {self.bundle.name} on {self.link}: {plural(count, 'option')}, {self._best}>"
        )

    def __getitem__(self, label: str) -> Option:
        """Return the option with this label, as `cut-04/q2`; UnknownNameError names the nearest."""
        found = {option.label: option for option in self.options}
        if label not in found:
            raise UnknownNameError(
                f"the plan has no option {label!r}. The nearest is {nearest(str(label), found)!r}; "
                "plan.options has all."
            )
        return found[label]

    @cached_property
    def columns(self) -> OptionColumns:
        """The numbers of the options as arrays."""
        return OptionColumns.of(self.options)

    @property
    def heads_only(self) -> bool:
        """True where the device has no tails: without a cloud only exits answer, see `last_resort`."""
        return is_heads_only(self.bundle, self.edge)

    @property
    def best(self) -> Option:
        """The option with the smallest total; the earlier cut if two are equal."""
        return min(self.options, key=lambda option: option.total_s)

    @property
    def _best(self) -> str:
        return f"best {self.best.label} in {format_duration(self.best.total_s)}"

    def at(self, link: Link | str) -> "Plan":
        """Return the same options on another link, given or written as `10mbit,20ms`."""
        link = Link.of(link)
        options = tuple(
            replace(option, network_s=link.predict_s(option.upload_bytes, option.download_bytes))
            for option in self.options
        )
        return replace(self, link=link, options=options)

    def with_exits(self, exits: Mapping[str, ExitCost]) -> "Plan":
        """Return the same options where exits answer first; those given, by cut, and no others."""

        def asked(option: Option) -> Option:
            cost = exits.get(option.cut, ExitCost(0.0, 0.0))
            head = self.edge.cuts[option.cut].head
            exit_s = cost.head_share * _seconds(head)
            return replace(option, exit_rate=cost.rate, exit_s=exit_s)

        return replace(self, options=tuple(map(asked, self.options)))

    def switches(self) -> tuple[Switch, ...]:
        """Return the uplinks at which the best option changes, slowest link first; the rest is fixed."""
        return find_switches(self.options, self.link)

    @property
    def leading(self) -> tuple[Option, ...]:
        """What can matter: those that are best on some uplink, and the fastest of each end."""
        return leading(self.options, self.link)

    def to_dict(self, best: Option | None = None) -> dict[str, Any]:
        """Return the whole plan as plain data; `best` is the option chosen, if not the fastest."""
        best = best or self.best
        sides = (("edge", self.edge), ("cloud", self.cloud))
        return {
            "bundle": {"name": self.bundle.name, "digest": self.bundle.digest},
            "link": asdict(self.link),
            "profiles": {role: _profile_dict(profile) for role, profile in sides},
            "options": [option.to_dict() for option in self.options],
            "best": {"cut": best.cut, "codec": best.codec},
            "switches": [switch.to_dict() for switch in self.switches()],
            "accuracy_drop": self.accuracy_drop,
            "left_out": self.left_out,
            "heads_only": self.heads_only,
        }

    def to_pandas(self) -> Any:
        """Return a pandas.DataFrame with a row for each option; UsageError where pandas is missing."""
        return data_frame([option.to_row() for option in self.options])

    def __str__(self) -> str:
        title, header, rows = self._table()
        return text_table(title, header, rows)

    def _repr_html_(self) -> str:
        return html_table(*self._table(), bold=self.leading.index(self.best))

    def _table(self) -> tuple[str, Sequence[str], Sequence[Sequence[str]]]:
        """Return title, header and cells of what can matter."""
        shown = self.leading
        title = (
            f"{self.bundle.name} on {self.link}: {self._best} ({len(shown)} of "
            f"{plural(len(self.options), 'option')}, times in ms)"
        )
        return title, CELLS, [option.cells for option in shown]


def plan(
    bundle: Bundle | str | Path,
    link: Link | str,
    edge: Profile | str | Path,
    cloud: Profile | str | Path,
    *,
    codec: str | None = None,
    accuracy_drop: float | None = None,
) -> Plan:
    """Price every cut with every codec that was measured on both sides, or with `codec` alone.

    Bundle and profiles may be given as their paths, the link as text such as `10mbit,20ms`.
    `accuracy_drop`: percentage points that an option may have been seen to lose; see `is_allowed`.
    Raises ProfileError when a profile is of another bundle, UnknownNameError for an unknown codec,
    UsageError when a bound is given and nothing is known about accuracy, or for an argument of a wrong type.
    """
    bundle, link = Bundle.of(bundle), Link.of(link)
    edge, cloud = Profile.of("edge", edge), Profile.of("cloud", cloud)
    if accuracy_drop is not None:
        need_numbers({"accuracy_drop": accuracy_drop})
    need("codec", codec, str, NoneType, wanted="the name of a codec, or None")
    for role, profile in (("edge", edge), ("cloud", cloud)):
        _check_profile(bundle, role, profile)
    _check_bound(bundle, accuracy_drop)
    wanted = codec_name(codec) if codec else None
    known = list(_options(bundle, link, edge, cloud, wanted))
    options = tuple(
        option
        for option in known
        if is_allowed(
            option.cut, option.codec, option.accuracy, accuracy_drop, asked=wanted is not None
        )
    )
    if all(option.cut == EDGE for option in known):
        names = sorted({name for cut in edge.cuts.values() for name in cut.codecs})
        raise UnknownNameError(
            f"no cut was measured with codec {codec!r}. Use one of: {', '.join(names)}; or "
            f"{_codec_remedy(bundle, wanted)}."
        )
    left_out = len(known) - len(options)
    if not options:
        raise UsageError(
            f"no option loses as little as {plural(accuracy_drop or 0.0, 'point')}, and this device holds "
            f"only heads of {bundle.name}, so that it cannot finish frames either. Allow more."
        )
    return Plan(bundle, link, edge, cloud, options, accuracy_drop, left_out)


def _codec_remedy(bundle: Bundle, codec: str | None) -> str:
    """Say what to run so that options with a codec are there."""
    if codec and is_calibrated(codec) and bundle.calibration is None:
        return (
            f"calibrate the bundle, which {codec} needs, and measure again: splitpoint calibrate "
            f"{bundle.path} --data DIR, then splitpoint profile {bundle.path}"
        )
    return "measure both sides again, if the bundle has been calibrated since"


def is_heads_only(bundle: Bundle, edge: Profile) -> bool:
    """Tell whether a device, by its bundle or its profile, has no way to finish a frame by itself."""
    return bundle.heads_only or edge.heads_only


def _check_bound(bundle: Bundle, accuracy_drop: float | None) -> None:
    if accuracy_drop is None:
        return
    if not 0 <= accuracy_drop <= 100:
        raise UsageError(
            f"`accuracy_drop` {accuracy_drop} has no meaning. Give percentage points, such as 0.5."
        )
    if bundle.calibration is None:
        raise UsageError(
            f"`accuracy_drop` needs to know what codecs lose, which was not measured for "
            f"{bundle.name}. Run: splitpoint calibrate {bundle.path} --data DIR."
        )


def _check_profile(bundle: Bundle, role: str, profile: Profile) -> None:
    if profile.bundle_digest != bundle.digest:
        raise ProfileError(
            f"the {role} profile is of bundle {profile.bundle} {profile.bundle_digest[:12]}…, and "
            f"this is {bundle.name} {bundle.digest[:12]}…. Measure it again with: "
            f"splitpoint profile {bundle.path}{' --cloud HOST:PORT' * (role == 'cloud')}."
        )
    missing = [cut for cut in bundle.cuts if cut not in profile.cuts]
    some = len(missing) < len(bundle.cuts)
    if missing and not (role == "edge" and profile.heads_only and some):
        raise ProfileError(
            f"the {role} profile lacks the cuts {', '.join(missing)}. Measure it again with: "
            f"splitpoint profile {bundle.path}{' --cloud HOST:PORT' * (role == 'cloud')}."
        )


def _options(
    bundle: Bundle, link: Link, edge: Profile, cloud: Profile, codec: str | None
) -> Iterator[Option]:
    measured = bundle.calibration.accuracies if bundle.calibration else {}
    stale = stale_profiles(bundle, edge, cloud)
    alone = is_heads_only(bundle, edge)
    for cut in (cut for cut in bundle.cuts if cut in edge.cuts):
        here, there = edge.cuts[cut], cloud.cuts[cut]
        if cut == EDGE:
            yield _option(cut, "raw", edge, cloud, link)
            continue
        for name in here.codecs:
            known = name in there.codecs and not (stale and is_calibrated(name))
            if known and codec in (None, name):
                option = _option(cut, name, edge, cloud, link)
                resort = _last_resort(bundle.exit_at(cut), here) if alone else None
                yield replace(
                    option,
                    accuracy=measured.get((cut, name)),
                    last_resort=resort,
                    finish_s=_finish_s(resort) if alone else _seconds(here.tail),
                )


def _option(cut: str, codec: str, edge: Profile, cloud: Profile, link: Link) -> Option:
    here, there = edge.cuts[cut], cloud.cuts[cut]
    crosses = cut != EDGE
    upload = here.codecs[codec].upload_bytes if crosses else 0
    download = here.download_bytes if crosses else 0
    encode_s = here.codecs[codec].encode_s if crosses else 0.0
    handing_s = edge.resume_s + (edge.crossing_s if crosses else 0.0)
    return Option(
        cut=cut,
        codec=codec,
        edge_s=_seconds(here.head) + encode_s + handing_s,
        upload_bytes=upload,
        network_s=link.predict_s(upload, download),
        cloud_s=cloud.resume_s + there.codecs[codec].decode_s + _seconds(there.tail)
        if crosses
        else 0.0,
        download_bytes=download,
        frontier_bytes=here.frontier_bytes,
        edge_memory_bytes=here.head.memory_bytes if here.head else 0,
        cloud_memory_bytes=there.tail.memory_bytes if there.tail else 0,
        handing_s=handing_s,
        encode_s=encode_s,
    )


def _last_resort(exit_: Exit | None, here: CutProfile) -> LastResort | None:
    if exit_ is None:
        return None
    return LastResort(exit_.agreement_of_all, exit_.meta.head_share * _seconds(here.head))


def _finish_s(resort: LastResort | None) -> float | None:
    """Return what finishing a frame takes where there are no tails; None where there is no exit either."""
    return resort.exit_s if resort else None


def _profile_dict(profile: Profile) -> dict[str, Any]:
    return {
        "machine": profile.machine.model_dump(),
        "measured_at": profile.measured_at,
        "inputs": profile.inputs,
        "scale": profile.scale,
    }


def _seconds(stage: StageProfile | None) -> float:
    return stage.frame_s if stage else 0.0
