"""`splitpoint plan`."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from partitioner.cli.arguments import BundleArgument
from partitioner.cli.terms import (
    DeviceFlag,
    FpsFlag,
    MinimizeFlag,
    PriceGbFlag,
    PriceWorkerHourFlag,
    RadioFlag,
    SustainedFlag,
    WeightsFlag,
    WorkersFlag,
    read_terms,
)
from partitioner.common.defaults import DEFAULT_ACCURACY_DROP
from partitioner.common.files import check_target
from partitioner.terminal.console import JsonFlag, print_json, remark, screen

if TYPE_CHECKING:
    from partitioner.bundle.bundle import Bundle
    from partitioner.bundle.exits import ExitCost
    from partitioner.planning.answer import Answer
    from partitioner.planning.constraints import Candidate, Constraint
    from partitioner.planning.guesses import Guess
    from partitioner.planning.selection import Selection

_CHOICE = "Choice"


def plan(
    bundle: BundleArgument,
    bandwidth: Annotated[str, typer.Option(help="Uplink, as 10mbit, 1.5Mbit/s or 2MB/s.")],
    rtt: Annotated[str, typer.Option(help="Round-trip time, as 20ms.")],
    down: Annotated[str | None, typer.Option(help="Downlink; else that of the uplink.")] = None,
    codec: Annotated[str | None, typer.Option(help="Only options with this codec.")] = None,
    accuracy_drop: Annotated[
        float | None,
        typer.Option(
            help="Only options measured to lose no more percentage points than this: of accuracy where "
            "calibrate had labels, else of agreement with the whole model.",
            show_default=f"{DEFAULT_ACCURACY_DROP:g}, and image codecs though unmeasured",
        ),
    ] = None,
    edge: Annotated[
        Path | None, typer.Option(help="The edge's profile; else the bundle's own.")
    ] = None,
    cloud: Annotated[
        Path | None, typer.Option(help="The cloud's profile; else the bundle's own.")
    ] = None,
    edge_scale: Annotated[
        float | None,
        typer.Option(
            help="What if the edge took this many times as long? Scaled, not measured. 1 with a "
            "--device: the profile is of that device."
        ),
    ] = None,
    cloud_scale: Annotated[
        float | None,
        typer.Option(help="The same for the cloud; without a cloud profile, of the edge's times."),
    ] = None,
    exits: Annotated[
        bool, typer.Option("--exits", help="Let exits answer first, each at its own threshold.")
    ] = False,
    exit_threshold: Annotated[
        float | None,
        typer.Option(help="The same, at this confidence.", min=0, max=1, show_default=False),
    ] = None,
    minimize: MinimizeFlag = "latency",
    weights: WeightsFlag = None,
    max_edge_memory: Annotated[
        str | None,
        typer.Option(help="For the head on the device, as 200MB.", rich_help_panel=_CHOICE),
    ] = None,
    max_energy: Annotated[
        str | None, typer.Option(help="A frame, as 0.5J or 200mJ.", rich_help_panel=_CHOICE)
    ] = None,
    deadline: Annotated[
        str | None, typer.Option(help="A frame's latency, as 100ms.", rich_help_panel=_CHOICE)
    ] = None,
    min_depth: Annotated[
        float | None,
        typer.Option(help="Share of the FLOPs on the device, as 0.3.", rich_help_panel=_CHOICE),
    ] = None,
    keep_input_local: Annotated[
        bool,
        typer.Option(
            "--keep-input-local", help="The model's input stays here.", rich_help_panel=_CHOICE
        ),
    ] = False,
    pareto: Annotated[
        str | None,
        typer.Option(help="Show the Pareto front of these, as latency,energy."),
    ] = None,
    device: DeviceFlag = None,
    radio: RadioFlag = None,
    fps: FpsFlag = None,
    sustained: SustainedFlag = False,
    workers: WorkersFlag = 1,
    price_worker_hour: PriceWorkerHourFlag = None,
    price_gb: PriceGbFlag = None,
    plot: Annotated[
        Path | None,
        typer.Option(
            help="Draw bars per cut and latency against bandwidth, or with --pareto the front: FILE.png."
        ),
    ] = None,
    every: Annotated[
        bool, typer.Option("--all", help="Show all options, not only those that can matter.")
    ] = False,
    as_json: JsonFlag = False,
) -> None:
    """Price every cut on a link, and mark the best.

    Exit status 6: no option meets all constraints; the message, and with --json the document on
    stdout, says which to relax and by how much.

    Example: splitpoint plan resnet50 --bandwidth 10mbit --rtt 20ms --plot plan.png
    """
    from partitioner.bundle.bundle import Bundle
    from partitioner.common.units import parse_duration, parse_rate
    from partitioner.network.link import Link
    from partitioner.planning.answer import Answer
    from partitioner.planning.constraints import max_accuracy_drop
    from partitioner.planning.devices import scaled_to
    from partitioner.planning.guesses import guesses
    from partitioner.planning.objective import Objective, parse_metrics
    from partitioner.planning.plan import plan as make_plan
    from partitioner.planning.selection import select
    from partitioner.profiles.store import find_profiles
    from partitioner.reports.answer import answer_text
    from protos.errors import InfeasibleError

    check_target("--plot", plot)
    uplink = parse_rate(bandwidth)
    link = Link(uplink, parse_rate(down) if down else uplink, parse_duration(rtt))
    objective = Objective.asked(minimize, weights)
    limits = _constraints(max_edge_memory, max_energy, deadline, min_depth, keep_input_local)
    terms = read_terms(device, radio, fps, sustained, workers, price_worker_hour, price_gb)
    metrics = parse_metrics(pareto) if pareto else ()
    loaded = Bundle.load(bundle)
    scale = 1.0 if edge_scale is None else edge_scale
    here, there = find_profiles(loaded, edge, cloud, edge_scale=scale, cloud_scale=cloud_scale)
    if terms.device and edge_scale is None:
        here = scaled_to(terms.device, here, loaded.manifest.flops)
    costs = _exit_costs(loaded, exits, exit_threshold)
    make = partial(make_plan, loaded, link, here, there, codec=codec)
    made = make(accuracy_drop=accuracy_drop).with_exits(costs)
    try:
        try:
            decision = select(made, terms, objective, limits)
        except InfeasibleError:
            if accuracy_drop is None:
                raise
            # What that bound left out may be what meets the other limits.
            limits.append(max_accuracy_drop(accuracy_drop))
            decision = select(make(accuracy_drop=100.0).with_exits(costs), terms, objective, limits)
    except InfeasibleError as error:
        if as_json:
            print_json(error.document)
        raise
    front = decision.front(metrics) if metrics else ()
    if plot:
        _draw(decision, metrics, plot)
    answer = Answer(decision)
    found = guesses(decision.plan, by_gflops=terms.device is not None and edge_scale is None)
    if as_json:
        _print_json(answer, found, front, metrics)
        return
    screen.print(answer_text(answer, found))
    _print_tables(answer, front, metrics, every=every)
    _print_notes(decision)
    if plot:
        remark(f"Plot: {plot}")


def _exit_costs(bundle: "Bundle", asked: bool, threshold: float | None) -> "dict[str, ExitCost]":
    return bundle.exit_costs(threshold) if asked or threshold is not None else {}


def _constraints(
    edge_memory: str | None,
    energy: str | None,
    latency: str | None,
    depth: float | None,
    input_local: bool,
) -> "list[Constraint]":
    from partitioner.common.units import parse_duration, parse_energy, parse_size
    from partitioner.planning import constraints

    found = []
    if edge_memory is not None:
        found.append(constraints.max_edge_memory(parse_size(edge_memory)))
    if energy is not None:
        found.append(constraints.max_energy(parse_energy(energy)))
    if latency is not None:
        found.append(constraints.deadline(parse_duration(latency)))
    if depth is not None:
        found.append(constraints.min_depth(depth))
    if input_local:
        found.append(constraints.keep_input_local())
    return found


def _draw(decision: "Selection", metrics: Sequence[str], path: Path) -> None:
    from partitioner.reports.front_plot import draw_front
    from partitioner.reports.plan_plot import draw_plan

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
    from partitioner.reports.answer import answer_json
    from partitioner.reports.costs import decision_json, front_json

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
    answer: "Answer", front: "Sequence[Candidate]", metrics: Sequence[str], *, every: bool
) -> None:
    from partitioner.planning.objective import LATENCY
    from partitioner.planning.terms import Terms
    from partitioner.reports.costs import costs_table, front_table
    from partitioner.reports.plan import plan_table, switches_text
    from partitioner.reports.plan_rows import rows_worth_showing

    decision = answer.selection
    rows = decision.candidates if every else rows_worth_showing(answer)
    options = [candidate.option for candidate in rows]
    screen.print(plan_table(decision.plan, options, decision.best.option))
    asked = (decision.objective, decision.constraints, decision.terms)
    if asked == (LATENCY, (), Terms()):
        screen.print(switches_text(decision.plan))
    else:
        screen.print(costs_table(decision, rows))
    if metrics:
        screen.print(front_table(front, metrics))
    if len(rows) < len(decision.candidates):
        remark(
            f"{len(rows)} of {len(decision.candidates)} options are shown; --all shows the rest."
        )


def _print_notes(decision: "Selection") -> None:
    from partitioner.reports.plan import bound_text, heads_text, points_text, scale_text

    made = decision.plan
    for text in (points_text(made), bound_text(made), heads_text(made)):
        if text:
            remark(text)
    if caveat := scale_text(made):
        remark(f"Note: {caveat}")
    if device := decision.terms.device:
        remark(
            f"Energy and heat are those of {device.title}; docs/planning.md says how sure they are."
        )
