"""`splitpoint search`."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from partitioner.cli.flags.arguments import AccuracyDrop, Budget, BundleArgument
from partitioner.cli.flags.link import LinkFlags
from partitioner.cli.flags.profiles import ProfileFlags
from partitioner.common.defaults import DEFAULT_BUDGET_S
from partitioner.settings.panels import CHOICE, LOAD, OUTPUT
from partitioner.terminal.console import JsonFlag, print_json, progress, remark, screen, working
from partitioner.terminal.flags import flag
from protos.errors import UsageError

if TYPE_CHECKING:
    from partitioner.bundle.bundle import Bundle
    from partitioner.network.link import Link
    from partitioner.profiles.profile import Profile
    from partitioner.reports.search import Row
    from partitioner.search.explorer import LinkAnswer
    from partitioner.search.survivors import Assumption, Survivor

_MOST_ADDED = 16
_RTT, _DOWN = "20ms", "100mbit"
_USUAL = LinkFlags(rtt=_RTT)


def search(
    bundle: BundleArgument,
    *,
    link: LinkFlags = _USUAL,
    bits: Annotated[
        str,
        flag(
            "Bits that a float may take on the wire; raw: as many as it has.", "BITS", panel=CHOICE
        ),
    ] = "raw,8,2",
    accuracy_drop: AccuracyDrop = None,
    most: Annotated[
        int, flag("Add at most this many cuts.", "N", panel=CHOICE, min=1)
    ] = _MOST_ADDED,
    edge_load: Annotated[
        str, flag("Times as long as measured that the edge may take.", "FACTORS", panel=LOAD)
    ] = "1,4",
    cloud_load: Annotated[str, flag("The same for the cloud.", "FACTORS", panel=LOAD)] = "1,4",
    profiles: ProfileFlags,
    budget: Budget = f"{DEFAULT_BUDGET_S:g}s",
    out: Annotated[
        Path | None,
        flag(
            "Where the bundle with new cuts goes.", "BUNDLE", panel=OUTPUT, default="into its place"
        ),
    ] = None,
    dry_run: Annotated[
        bool,
        flag("Only show what is found; change nothing.", None, "--dry-run", panel=OUTPUT),
    ] = False,
    as_json: JsonFlag = False,
) -> None:
    """Find every cut that some link, load or codec makes best; add the missing ones, and time them.

    Every uplink is looked at, with a round trip of --rtt; with --bandwidth or --link, that one says also
    which option is best there, as `splitpoint plan` does, and whether a cut that the bundle lacks may be
    better. A cut sends no fewer bits than were measured to lose too much. The bundle with new cuts has a
    new digest, so both sides have to get it.

    Example: splitpoint search resnet50 --cloud-scale 0.2 --dry-run
    """
    try:
        from partitioner.search.explorer import answer_on, known_cuts, search_bundle
    except ImportError as error:
        raise UsageError(
            f"searching needs {error.name}. Install it with: pip install 'splitpoint[search]'."
        ) from error
    from partitioner.bundle.bundle import Bundle
    from partitioner.common.units import parse_duration
    from partitioner.reports.search import Row, search_json

    asked, is_one_link = _link(link)
    wanted = _assumed(bits, edge_load, cloud_load)
    budget_s = parse_duration(budget)
    loaded = Bundle.load(bundle)
    measured = profiles.read(loaded)

    def answer_of(loaded: "Bundle", measured: "tuple[Profile, Profile]") -> "LinkAnswer":
        sizes = [one.bits for one in wanted]
        return answer_on(loaded, *measured, asked, sizes, accuracy_drop=accuracy_drop)

    with working("searching"):
        survivors = search_bundle(loaded, *measured, asked, wanted, accuracy_drop=accuracy_drop)
        answer = answer_of(loaded, measured) if is_one_link else None
    before = known_cuts(loaded, survivors)
    missing = [one for one, cut in zip(survivors, before, strict=True) if cut is None]
    chosen = sorted(missing, key=lambda one: -one.reach)[:most]
    if chosen and not dry_run:
        loaded = _add(loaded, chosen, out, budget_s)
        if not (profiles.edge or profiles.cloud):
            measured = profiles.read(loaded)
        if answer and _hold(loaded, measured):
            answer = answer_of(loaded, measured)
    after = known_cuts(loaded, survivors)
    rows = [
        Row(one, cut, added=cut is not None and old is None)
        for one, old, cut in zip(survivors, before, after, strict=True)
    ]
    if as_json:
        print_json(search_json(loaded, rows, measured, answer))
        return
    _show(loaded, rows, measured, answer)
    _say_next(loaded, bundle, [row.cut for row in rows])


def _link(flags: LinkFlags) -> "tuple[Link, bool]":
    """Return the link of the flags, and whether its uplink was given: else it is not one link alone."""
    from partitioner.common.units import parse_duration, parse_rate
    from partitioner.network.link import Link

    up, down, rtt = flags.texts(_USUAL)
    down = down or up or _DOWN
    asked = Link(parse_rate(up or down), parse_rate(down), parse_duration(rtt or _RTT))
    return asked, bool(up)


def _assumed(bits: str, edge_load: str, cloud_load: str) -> "tuple[Assumption, ...]":
    """Return all that is assumed in turn: bits of a float on the wire, and loads of both machines."""
    from partitioner.search.survivors import assumptions

    return assumptions(
        [None if word.strip() == "raw" else _number("--bits", word) for word in bits.split(",")],
        [_number("--edge-load", word) for word in edge_load.split(",")],
        [_number("--cloud-load", word) for word in cloud_load.split(",")],
    )


def _show(
    bundle: "Bundle",
    rows: "list[Row]",
    measured: "tuple[Profile, Profile]",
    answer: "LinkAnswer | None",
) -> None:
    """Print what was found, as people read it."""
    from partitioner.reports.plans.plan import scaled_texts
    from partitioner.reports.search import doubt_text, search_table, search_text

    screen.print(search_text(rows, answer))
    if rows:
        screen.print(search_table(bundle, rows, measured))
    if doubt := doubt_text(rows):
        remark(doubt)
    for text in scaled_texts(dict(zip(("edge", "cloud"), measured, strict=True))):
        remark(f"Note: {text}.")


def _add(
    bundle: "Bundle", chosen: Sequence["Survivor"], out: Path | None, budget_s: float
) -> "Bundle":
    """Return the bundle with the cuts of `chosen` added, and timed where this machine can."""
    try:
        from partitioner.importer.extension import add_cuts
    except ImportError as error:
        raise UsageError(
            f"adding cuts needs {error.name}. Install it with: pip install 'splitpoint[onnx]', or "
            "look only with --dry-run."
        ) from error
    from partitioner.common.units import plural
    from partitioner.profiles.store import load_profiles
    from partitioner.search.explorer import extend_profiles

    profiles, wrong = load_profiles(bundle)
    for sentence in wrong:
        remark(sentence)
    found = sorted((one.cut for one in chosen), key=lambda cut: cut.flops)
    with working(f"adding {plural(len(found), 'cut')}"):
        made, added = add_cuts(bundle, found, out or bundle.path, replace=out is None)
    with progress() as bar:
        task = bar.add_task("measuring", total=None)

        def show(stage: str, done: int, total: int) -> None:
            bar.update(task, completed=done, total=total, description=f"measuring {stage}")

        extended, stale = extend_profiles(profiles, made, added, budget_s, show)
    for name in stale:
        remark(f"{name} was measured on another machine: measure there again.")
    if not extended:
        remark(f"No new cut was timed. Next: splitpoint profile {made.path}.")
    remark(
        f"What codecs lose at {', '.join(added)} is not known, so until it is, plans send exact values "
        f"there. Next: splitpoint calibrate {made.path} --data DIR, then profile both sides again."
    )
    return made


def _hold(bundle: "Bundle", profiles: "tuple[Profile, Profile]") -> bool:
    """Tell whether profiles are of a bundle as it is now, with all of its cuts."""
    return all(
        profile.bundle_digest == bundle.digest and set(bundle.cuts) <= set(profile.cuts)
        for profile in profiles
    )


def _say_next(bundle: "Bundle", asked: Path, cuts: Sequence[str | None]) -> None:
    if None in cuts:
        remark(
            f"{cuts.count(None)} of {len(cuts)} are not in the bundle; search without --dry-run adds them."
        )
    if bundle.path != asked:
        remark(f"{asked} is left as it was.")


def _number(flag: str, text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        raise UsageError(f"{flag} {text!r} is no number above 0. Write numbers with commas: 1,4.")
    return value
