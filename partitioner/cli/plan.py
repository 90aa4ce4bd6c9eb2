"""`splitpoint plan`."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from partitioner.cli.flags.arguments import AccuracyDrop, BundleArgument, OnlyCodec
from partitioner.cli.flags.limits import LimitFlags
from partitioner.cli.flags.link import LinkFlags
from partitioner.cli.flags.output import PlotFlags
from partitioner.cli.flags.profiles import ProfileFlags
from partitioner.cli.flags.terms import LoadFlags, ObjectiveFlags, TermsFlags
from partitioner.common.units import plural
from partitioner.settings.panels import CHOICE, OUTPUT
from partitioner.terminal.console import print_json, remark, screen
from partitioner.terminal.flag_names import document_with_flags
from partitioner.terminal.flags import flag

if TYPE_CHECKING:
    from partitioner.bundle.bundle import Bundle
    from partitioner.bundle.exits import ExitCost
    from partitioner.planning.answer import Answer
    from partitioner.planning.constraints import Candidate
    from partitioner.planning.guesses import Guess
    from partitioner.planning.selection import Selection


def plan(
    bundle: BundleArgument,
    link: LinkFlags,
    objective: ObjectiveFlags,
    limits: LimitFlags,
    terms: TermsFlags,
    load: LoadFlags,
    profiles: ProfileFlags,
    output: PlotFlags,
    codec: OnlyCodec = None,
    accuracy_drop: AccuracyDrop = None,
    exits: Annotated[
        bool,
        flag("Let exits answer first, each at its own threshold.", None, "--exits", panel=CHOICE),
    ] = False,
    exit_threshold: Annotated[
        float | None,
        flag("The same, at this confidence.", "SHARE", panel=CHOICE, min=0, max=1),
    ] = None,
    pareto: Annotated[
        str | None,
        flag("Show the Pareto front of these, as latency,energy.", "METRICS", panel=CHOICE),
    ] = None,
    every: Annotated[
        bool,
        flag("Show all options, not only those that can matter.", None, "--all", panel=OUTPUT),
    ] = False,
) -> None:
    """Price every cut on a link, and mark the best.

    Exit status 6: no option meets all constraints; the message, and with --json the document on
    stdout, says which to relax and by how much.

    Example: splitpoint plan resnet50 --link 10mbit,20ms --plot plan.png
    """
    from partitioner.bundle.bundle import Bundle
    from partitioner.planning.answer import Answer
    from partitioner.planning.constraints import max_accuracy_drop
    from partitioner.planning.guesses import guesses
    from partitioner.planning.objective import parse_metrics
    from partitioner.planning.plan import plan as make_plan
    from partitioner.planning.selection import select
    from partitioner.reports.plans.answer import answer_text
    from partitioner.reports.plans.rows import rows_worth_showing
    from protos.errors import InfeasibleError

    output.check()
    asked, wanted = link.read(), objective.read()
    constraints = limits.read()
    priced = terms.read(load.fps, load.workers, sustained=load.sustained)
    metrics = parse_metrics(pareto) if pareto else ()
    loaded = Bundle.load(bundle)
    here, there = profiles.read(loaded, priced.device)
    costs = _exit_costs(loaded, exits, exit_threshold)
    make = partial(make_plan, loaded, asked, here, there, codec=codec)
    made = make(accuracy_drop=accuracy_drop).with_exits(costs)
    try:
        try:
            decision = select(made, priced, wanted, constraints)
        except InfeasibleError:
            if accuracy_drop is None:
                raise
            # What that bound left out may be what meets the other limits.
            constraints.append(max_accuracy_drop(accuracy_drop))
            wider = make(accuracy_drop=100.0).with_exits(costs)
            decision = select(wider, priced, wanted, constraints)
    except InfeasibleError as error:
        if output.as_json:
            print_json(document_with_flags(error.document))
        raise
    front = decision.front(metrics) if metrics else ()
    if output.plot:
        _draw(decision, metrics, output.plot)
    answer = Answer(decision)
    found = guesses(decision.plan, profiles.target(priced.device))
    if output.as_json:
        _print_json(answer, found, front, metrics)
        return
    screen.print(answer_text(answer, found))
    rows = decision.candidates if every else rows_worth_showing(answer)
    _print_tables(answer, rows, front, metrics)
    _print_notes(decision, rows)
    output.tell()


def _exit_costs(bundle: "Bundle", asked: bool, threshold: float | None) -> "dict[str, ExitCost]":
    return bundle.exit_costs(threshold) if asked or threshold is not None else {}


def _draw(decision: "Selection", metrics: Sequence[str], path: Path) -> None:
    from partitioner.reports.plots.front import draw_front
    from partitioner.reports.plots.plan import draw_plan

    if metrics:
        draw_front(decision, metrics, path)
    else:
        draw_plan(decision.plan, path, decision.best.option)


def _print_json(
    answer: "Answer",
    found: "Sequence[Guess]",
    front: "Sequence[Candidate]",
    metrics: Sequence[str],
) -> None:
    from partitioner.reports.plans.answer import answer_json
    from partitioner.reports.plans.costs import decision_json, front_json

    decision = answer.selection
    document = {
        "answer": answer_json(answer, found),
        **decision.plan.to_dict(decision.best.option),
        **decision_json(decision),
    }
    if metrics:
        document["pareto"] = front_json(front, metrics)
    print_json(document)


def _print_tables(
    answer: "Answer",
    rows: "Sequence[Candidate]",
    front: "Sequence[Candidate]",
    metrics: Sequence[str],
) -> None:
    from partitioner.planning.objective import LATENCY
    from partitioner.planning.terms import Terms
    from partitioner.reports.plans.costs import costs_table, front_table
    from partitioner.reports.plans.plan import plan_table, switches_text

    decision = answer.selection
    options = [candidate.option for candidate in rows]
    screen.print(plan_table(decision.plan, options, decision.best.option))
    asked = (decision.objective, decision.constraints, decision.terms)
    if decision.objective == LATENCY and not decision.constraints and not decision.terms.sustained:
        screen.print(switches_text(decision.plan))
    if asked != (LATENCY, (), Terms()):
        screen.print(costs_table(decision, rows))
    if metrics:
        screen.print(front_table(front, metrics))
    if len(rows) < len(decision.candidates):
        remark(
            f"{len(rows)} of {plural(len(decision.candidates), 'option')} shown; --all shows the rest."
        )


def _print_notes(decision: "Selection", rows: "Sequence[Candidate]") -> None:
    from partitioner.reports.plans.plan import bound_text, heads_text, points_text, scale_notes

    made = decision.plan
    shown = [candidate.option for candidate in (decision.best, *rows)]
    for text in (points_text(shown), bound_text(made), heads_text(made)):
        if text:
            remark(text)
    for note in scale_notes(made):
        remark(f"Note: {note}")
    if device := decision.terms.device:
        remark(
            f"Energy and heat are those of {device.title}; docs/planning.md says how sure they are."
        )
