"""The sentence that a plan begins with: what is best, how much it saves, what it loses, how sure that is."""

from collections.abc import Callable, Sequence
from typing import Any

from partitioner.common.units import compare, format_duration, format_energy, format_size, plural
from partitioner.planning.answer import Answer, LoneFrame, is_end, lone_frame_of
from partitioner.planning.constraints import Candidate
from partitioner.planning.guesses import Guess
from partitioner.planning.objective import LATENCY
from partitioner.planning.option import Option
from partitioner.reports.plans.guesses import guesses_json, guesses_text
from partitioner.terminal.flag_names import flag_of, with_flags
from protos.codecs.registry import codec_name
from protos.names import EDGE

_AS = {"raw": "uncompressed", "jpeg": "as JPEG", "webp": "as WebP"}
_WRITE: dict[str, Callable[[float], str]] = {
    "latency": format_duration,
    "p95": lambda seconds: f"{format_duration(seconds)} at p95",
    "throughput": lambda seconds: f"{1 / seconds:.3g} frames/s" if seconds else "any rate",
    "energy": lambda joules: f"{format_energy(joules)} a frame",
    "bytes": lambda count: f"{format_size(count)} a frame",
    "cost": lambda money: f"{money:.3g} a frame",
}


def answer_text(answer: Answer, found: Sequence[Guess] = ()) -> str:
    """Return the answer in a sentence, and below it what makes it less sure, a line each.

    `found` are the sides that were not measured.
    """
    limits = with_flags(", ".join(map(str, answer.selection.constraints)))
    best = _end_text(answer) if is_end(answer.best) else _split_text(answer)
    lines = (
        f"{f'Within {limits}: ' if limits else ''}{best}; {_loss_text(answer.best.option)}.",
        " ".join(filter(None, (_noise_text(answer), _ends_text(answer)))),
        guesses_text(answer.selection, found),
        _lone_text(answer, lone_frame_of(answer)),
    )
    return "\n".join(line for line in lines if line)


def answer_json(answer: Answer, found: Sequence[Guess] = ()) -> dict[str, Any]:
    """Return the sentence and its facts; scores and savings are in the units of the objective."""
    lone = lone_frame_of(answer)
    return {
        "sentence": answer_text(answer, found),
        "best": _candidate_json(answer, answer.best),
        "ends": {
            "cloud": _candidate_json(answer, answer.cloud_end),
            "edge": _candidate_json(answer, answer.edge_end),
        },
        "best_split": _candidate_json(answer, answer.best_split),
        "compared_with": _candidate_json(answer, answer.rival),
        "saves": answer.saves,
        "noise": answer.noise,
        "within_noise": answer.is_within_noise,
        "loses": _loss_json(answer.best.option),
        **guesses_json(answer.selection, found),
        "radio_tail": _lone_json(lone) if lone else None,
    }


def _split_text(answer: Answer) -> str:
    best, rival = answer.best, answer.rival
    taken = f"{best.option.label} is best: {_value(answer, best)}{_latency(answer, best)}"
    if rival is None:
        return f"{taken}, and {'no end keeps the limits' if answer.ends else 'there is no end'}"
    others = [end for end in answer.ends if end is not rival]
    end = "the better end" if others else "the only end"
    known = "".join(f"; {_named(answer, other)}" for other in others)
    return (
        f"{taken}, {_margin(answer, rival)} {end}, {_end_name(rival.option)} "
        f"({_value(answer, rival)}{known})"
    )


def _end_text(answer: Answer) -> str:
    best = answer.best
    doing = (
        "staying on the device"
        if best.option.cut == EDGE
        else f"sending everything to the cloud {_as(best.option.codec)}"
    )
    others = [c for c in (answer.best_split, *answer.ends) if c and c.option.cut != best.option.cut]
    named = "; ".join(_named(answer, other) for other in others)
    taken = f"{_value(answer, best)}{_latency(answer, best)}"
    return f"Nothing beats {doing}: {taken}{f' ({named})' if named else ''}"


def _margin(answer: Answer, rival: Candidate) -> str:
    """Return by how much the best is better than its rival, as a share of the rival's."""
    best, other = answer.score(answer.best), answer.score(rival)
    if set(answer.selection.objective.weights) == {"throughput"}:  # seconds, but written as a rate
        return compare(other, best)
    return compare(best, other)


def _value(answer: Answer, candidate: Candidate) -> str:
    """Return what the objective makes of a candidate, as people write it."""
    selection = answer.selection
    if len(selection.objective.weights) > 1:
        return f"{answer.score(candidate):.3g}"
    name = next(iter(selection.objective.weights))
    written = _WRITE[name](candidate.costs.metric(name))
    month = candidate.costs.monthly(selection.terms.fps) if selection.terms.fps else None
    return f"{written}, {month:,.2f} a month" if name == "cost" and month is not None else written


def _latency(answer: Answer, candidate: Candidate) -> str:
    """Return the latency where something else is minimised, and what a weighted sum is the sum of."""
    objective = answer.selection.objective
    if objective == LATENCY:
        return ""
    summed = f" of {objective}" if len(objective.weights) > 1 else ""
    return f"{summed} at a latency of {format_duration(candidate.costs.latency_s)}"


def _named(answer: Answer, candidate: Candidate) -> str:
    option = candidate.option
    name = _end_name(option) if is_end(candidate) else f"the best split, {option.label}"
    return f"{name}: {_value(answer, candidate)}"


def _end_name(option: Option) -> str:
    if option.cut == EDGE:
        return "everything on the edge"
    return f"everything in the cloud {_as(option.codec)}"


def _as(codec: str) -> str:
    return _AS.get(codec_name(codec).partition("-")[0], f"with {codec}")


def _loss_text(option: Option) -> str:
    measured = option.accuracy
    if option.is_exact:
        lost = "it loses nothing"
    elif measured is None:
        lost = f"what {option.codec} loses was not measured"
    else:
        points, kind = measured.drop_points, measured.measure
        what = f"{points:.2f} points" if points > 0 else "nothing"
        of = "the output" if kind == "error" else kind
        lost = f"it loses {what} of {of}, as measured on {plural(measured.samples, 'input')}"
    if not option.exit_rate:
        return lost
    return f"{lost}, beside what its exit does, which answers {100 * option.exit_rate:.0f} % of the frames"


def _loss_json(option: Option) -> dict[str, Any] | None:
    """Return what was measured; 0 points where nothing is lost; None where it is not known."""
    if option.is_exact:
        return {"drop_points": 0.0}
    return option.accuracy.to_dict() if option.accuracy else None


def _noise_text(answer: Answer) -> str:
    if not answer.is_within_noise or answer.rival is None:
        return ""
    return (
        f"That is within the noise of the profiles: measured again, {answer.rival.option.label} may be as "
        "good."
    )


def _ends_text(answer: Answer) -> str:
    """Say which ends miss a limit, and which are not there."""
    texts = []
    for end in answer.ends:
        missed = [flag_of(c.parameter) for c in answer.selection.constraints if not c.admits(end)]
        if missed:
            name = _end_name(end.option)
            texts.append(f"{name[0].upper()}{name[1:]} misses {', '.join(missed)}.")
    if answer.edge_end is None:
        texts.append("This device holds heads alone, so that it cannot do everything.")
    if answer.cloud_end is None:
        texts.append("None of these options sends everything to the cloud.")
    return " ".join(texts)


def _lone_text(answer: Answer, lone: LoneFrame | None) -> str:
    radio = answer.selection.terms.radio
    if lone is None or radio is None:
        return ""
    other = lone.best_without.option
    name = "it" if other == lone.sender.option else other.label
    turned = "" if other == answer.best.option else f", which would make {name} the best"
    return (
        f"A frame that comes alone pays for the radio's whole tail, {format_duration(radio.tail_s)} at "
        f"{radio.tail_w:.3g} W: {lone.sender.option.label} takes "
        f"{format_energy(lone.sender.costs.metric('energy'))} with it and "
        f"{format_energy(lone.sender_without_j)} without{turned}. For frames in a row, give --fps."
    )


def _candidate_json(answer: Answer, candidate: Candidate | None) -> dict[str, Any] | None:
    if candidate is None:
        return None
    return {
        "cut": candidate.option.cut,
        "codec": candidate.option.codec,
        "score": answer.score(candidate),
        "latency_s": candidate.costs.latency_s,
        "misses": [
            flag_of(c.parameter) for c in answer.selection.constraints if not c.admits(candidate)
        ],
    }


def _lone_json(lone: LoneFrame) -> dict[str, Any]:
    sender, without = lone.sender.option, lone.best_without.option
    return {
        "tail_j": lone.tail_j,
        "sender": {"cut": sender.cut, "codec": sender.codec},
        "energy_j": lone.sender.costs.energy_j,
        "energy_without_tail_j": lone.sender_without_j,
        "best_without_tail": {"cut": without.cut, "codec": without.codec},
    }
