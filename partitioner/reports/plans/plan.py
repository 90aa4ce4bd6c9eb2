"""A plan for people: its table, and what there is to say of it."""

from collections.abc import Mapping, Sequence

from partitioner.bundle.accuracy import Accuracy
from partitioner.common.defaults import DEFAULT_ACCURACY_DROP
from partitioner.common.units import DURATIONS, SIZES, ColumnUnit, format_rate, plural
from partitioner.planning.option import Option
from partitioner.planning.plan import Plan
from partitioner.profiles.profile import Profile
from partitioner.profiles.store import stale_profiles
from partitioner.reports.accuracy import each_cuts_text, format_points
from partitioner.reports.profile import TAKE_UP, noise_text
from partitioner.terminal.folding_table import FoldingTable, new_table


def plan_table(plan: Plan, shown: Sequence[Option], best: Option) -> FoldingTable:
    """Return these options with their times; `best` is marked."""
    mixed = len(_kinds(plan)) > 1
    asked = any(option.exit_rate or option.exit_s for option in plan.options)
    size = ColumnUnit.of((option.upload_bytes for option in shown), SIZES)
    times = ColumnUnit.of((s for option in shown for s in _parts_s(option)), DURATIONS, 1)
    table = new_table(
        f"{plan.bundle.name} on {plan.link}",
        *("cut", "codec", size.header("upload"), times.header("edge")),
        *(f"exit\n{times.name} %" if asked else "",),
        *(times.header(part) for part in ("network", "cloud", "total")),
        *(_points_header(plan), ""),
        left=2,
        keys=2,
    )
    for option in shown:
        table.add_row(
            option.cut,
            option.codec if option.upload_bytes else "",
            size.write(option.upload_bytes),
            times.write(option.edge_s),
            f"{times.write(option.exit_s)} {100 * option.exit_rate:.0f}" if option.exit_s else "",
            times.write(option.network_s),
            times.write(option.cloud_s),
            times.write(option.total_s),
            _points_cell(option.accuracy, with_kind=mixed),
            "◀" if option == best else "",
            style="bold green" if option == best else None,
        )
    return table


def _parts_s(option: Option) -> tuple[float, ...]:
    return option.edge_s, option.exit_s, option.network_s, option.cloud_s


def _points_header(plan: Plan) -> str:
    kinds = [*_kinds(plan)]
    return f"{kinds[0]}\npoints" if len(kinds) == 1 else "points of" * bool(kinds)


def _kinds(plan: Plan) -> dict[str, list[str]]:
    """Return what points are of, in one word each, and at which cuts; accuracy before agreement."""
    cuts: dict[str, list[str]] = {}
    for option in sorted(plan.options, key=lambda option: option.cut):
        if option.accuracy:
            at = cuts.setdefault(_word(option.accuracy), [])
            at.extend([option.cut] * (option.cut not in at))
    return dict(sorted(cuts.items()))


def _word(found: Accuracy) -> str:
    return "output" if found.measure == "error" else found.measure


def _points_cell(found: Accuracy | None, *, with_kind: bool) -> str:
    points = format_points(found)
    return f"{points} {_word(found)}" if found and with_kind else points


def switches_text(plan: Plan) -> str:
    """Say at which bandwidths the best option changes."""
    switches = plan.switches()
    if not switches:
        return f"{plan.best.label} is best at every uplink."
    parts = [f"below {format_rate(switches[0].uplink_bps)}: {switches[0].below.label}"]
    for switch, following in zip(switches, [*switches[1:], None], strict=True):
        upper = f" to {format_rate(following.uplink_bps)}" if following else " up"
        parts.append(f"from {format_rate(switch.uplink_bps)}{upper}: {switch.above.label}")
    return "best by uplink (RTT and downlink as given): " + "; ".join(parts) + "."


def bound_text(plan: Plan) -> str | None:
    """Say what bound of accuracy the options keep, and how many were left out; None: no need to."""
    if plan.accuracy_drop is None and not plan.left_out:
        return None
    if plan.bundle.calibration is None:
        return (
            f"What codecs lose with this bundle was never measured. {plural(len(plan.options), 'option')} "
            "lose nothing, or send the input as JPEG or WebP, as cameras do; the other "
            f"{plan.left_out} are left out. To have them measured: "
            f"splitpoint calibrate {plan.bundle.path} --data DIR."
        )
    most = DEFAULT_ACCURACY_DROP if plan.accuracy_drop is None else plan.accuracy_drop
    return (
        f"{plural(len(plan.options), 'option')} lose nothing, or were measured to lose at most "
        f"{plural(most, 'point')}{_bounded_text(plan)} (chance is not allowed for); "
        f"{plan.left_out} that lose more or were never measured are left out"
        f"{', and so are q2 to q6 (see the note)' if stale_sides(plan) else ''}."
    )


def _bounded_text(plan: Plan) -> str:
    """Say what a bound in points is of, at every cut."""
    kinds = _kinds(plan)
    if len(kinds) < 2:
        return "".join(f" of {word}" for word in kinds)
    without = ", ".join(kinds["agreement"])
    return (
        f" of accuracy, or at {without}, calibrated without labels, of agreement with the whole "
        "model, of which accuracy cannot lose more"
    )


def heads_text(plan: Plan) -> str | None:
    """Say what remains without a cloud on a device that has no tails; None where it can finish frames."""
    if not plan.heads_only:
        return None
    exits = {o.cut: o.last_resort.agreement for o in plan.options if o.last_resort}
    known = ", ".join(f"{cut} ({100 * share:.1f} %)" for cut, share in exits.items())
    return (
        f"This device holds heads only, and finishes no frame. Without the cloud "
        f"{f'the exit answers, as the whole model would at: {known}' if known else 'nothing answers'}."
    )


def points_text(shown: Sequence[Option]) -> str | None:
    """Say what the signed points of the options shown are, on which inputs, and how far chance reaches in
    the first of them that has any; None where none has."""
    known = [option.accuracy for option in shown if option.accuracy]
    if not known:
        return None
    first, cuts = known[0], dict[str, list[str]]()
    for one in known:
        at = cuts.setdefault(f"{_word(one)} on {plural(one.samples, 'input')}", [])
        at.extend([one.cut] * (one.cut not in at))
    alike = sorted(cuts.items(), key=lambda pair: -len(pair[1]))
    text = f"points above (+) or below (-) the whole model: {each_cuts_text(alike)}."
    if interval := first.interval_points:
        low, high = interval
        text += (
            f" That of {first.cut}/{first.codec} lies between {-high:+.1f} and {-low:+.1f} (95 % interval); "
            "what is within such an interval, gains too, may be chance."
        )
    return text


def scale_notes(plan: Plan) -> list[str]:
    """Return a sentence each on which side was scaled instead of measured, which is noisy, and which codec
    sizes are guesses."""
    remarks = scaled_texts({"edge": plan.edge, "cloud": plan.cloud})
    # A cloud that is assumed from the edge's profile has its noise.
    measured = {
        plan.cloud.measured_at: (plan.cloud, "cloud"),
        plan.edge.measured_at: (plan.edge, "edge"),
    }
    if noise := noise_text(*measured.values()):
        remarks.append(noise)
    guessed = any(option.codec != "raw" and not option.accuracy for option in plan.options)
    if plan.edge.inputs == "random" and guessed:
        remarks.append(
            "sizes of compressed uploads come from synthetic images; "
            "profile with --data FOLDER for those of your own"
        )
    if stale := stale_text(plan):
        remarks.append(stale)
    return [f"{remark}." for remark in remarks]


def scaled_texts(profiles: Mapping[str, Profile]) -> list[str]:
    """Say of each machine, by its role, whose times were multiplied where they were measured."""
    return [
        f"the {role}'s times are measured on {profile.machine.cpu} and scaled by {profile.scale:.3g}"
        for role, profile in profiles.items()
        if profile.scale != 1
    ]


def stale_sides(plan: Plan) -> list[str]:
    """Return the sides without the bundle's calibration, for which a plan leaves q2 to q6 out."""
    if plan.bundle.calibration is None:
        return []
    return stale_profiles(plan.bundle, plan.edge, plan.cloud)


def stale_text(plan: Plan) -> str | None:
    """Say why a plan leaves q2 to q6 out, and what to run; None: both sides know the calibration."""
    stale = stale_sides(plan)
    if not stale:
        return None
    assumed = plan.cloud.measured_at == plan.edge.measured_at
    again = f"splitpoint profile {plan.bundle.path}"
    if "cloud" in stale and not assumed:
        again = f"{again} --cloud HOST:PORT"
        remedy = f"{TAKE_UP}, then run: {again}"
    else:
        remedy = f"run: {again}"
    return (
        f"q2 to q6 are left out, as the {' and the '.join(stale)} did not have this calibration "
        f"when measured; {remedy}"
    )
