"""The command `splitpoint`: import, verify, profile, plan."""

from pathlib import Path
from typing import Annotated

import typer

from partitioner.console import JsonFlag, new_app, notes, print_json, progress, remark, run, screen
from partitioner.defaults import (
    DEFAULT_BUDGET_S,
    DEFAULT_PROVIDER,
    DEFAULT_THREADS,
    DEFAULT_TOLERANCE,
)
from protos.errors import FileError, ModelError, UsageError

app = new_app(help="Cut a model in two, and choose the cut that is fastest on your link.")

BundleArgument = Annotated[Path, typer.Argument(help="The bundle's folder.", show_default=False)]
Threads = Annotated[int, typer.Option(help="Intra-op threads of the runtime.")]
Provider = Annotated[str, typer.Option(help="Execution provider of the runtime.")]
Budget = Annotated[
    str,
    typer.Option(
        help="Time for one side, as 30s; at least three runs of every head and tail take longer."
    ),
]


@app.command("import")
def import_command(
    source: Annotated[
        str,
        typer.Argument(
            help="model.onnx, package.module:factory or file.py:factory.", show_default=False
        ),
    ],
    out: Annotated[Path, typer.Option(help="The folder to make.", show_default=False)],
    input_: Annotated[
        list[str] | None,
        typer.Option(
            "--input", help="NAME=1x3x224x224 (for integers NAME=1x128:int64); once an input."
        ),
    ] = None,
    preprocess: Annotated[
        str | None,
        typer.Option(
            help="Take uint8 images and normalise in the graph: imagenet, unit, raw, or numbers as "
            "mean=0.5:0.5:0.5,std=0.2:0.2:0.2,scale=0.00392,layout=nchw."
        ),
    ] = None,
    frame: Annotated[
        str | None,
        typer.Option(help="Height x width of the images, as 480x640; else the model's own."),
    ] = None,
    labels: Annotated[Path | None, typer.Option(help="Class names, one a line.")] = None,
    samples: Annotated[
        Path | None,
        typer.Option(help="A few inputs to keep in the bundle: a folder of images, .npy or .npz."),
    ] = None,
    name: Annotated[
        str | None, typer.Option(help="Name on the server; else that of the folder.")
    ] = None,
    max_cuts: Annotated[
        int, typer.Option(help="Keep at most this many interior cuts.", min=1)
    ] = 48,
    force: Annotated[
        bool, typer.Option("--force", help="Replace the bundle if it exists.")
    ] = False,
    as_json: JsonFlag = False,
) -> None:
    """Make a bundle: the model, cut at every place that is worth it.

    Example: splitpoint import resnet50.onnx --out resnet50 --preprocess imagenet
    """
    try:
        from partitioner.importing import ImportOptions, import_model
    except ImportError as error:
        raise UsageError(
            f"importing needs {error.name}. Install it with: pip install 'splitpoint[onnx]'."
        ) from error
    from partitioner.tables import bundle_json, bundle_table

    shapes, dtypes = _parse_inputs(input_ or [])
    options = ImportOptions(
        name=name,
        input_shapes=shapes,
        input_dtypes=dtypes,
        preprocess=preprocess,
        frame=frame,
        labels=_read_labels(labels) if labels else (),
        samples=samples,
        max_cuts=max_cuts,
        replace=force,
    )
    with notes.status("importing") as status:
        bundle = import_model(source, out, options, on_step=status.update)
    if as_json:
        print_json(bundle_json(bundle))
        return
    screen.print(bundle_table(bundle))
    remark(f"Next: splitpoint verify {out}, then splitpoint profile {out}.")


@app.command()
def verify(
    bundle: BundleArgument,
    data: Annotated[
        Path | None,
        typer.Option(help="Inputs: a folder of images, .npy or .npz; else random ones."),
    ] = None,
    tolerance: Annotated[
        float,
        typer.Option(help="Largest difference allowed, relative to an output's largest value."),
    ] = DEFAULT_TOLERANCE,
    threads: Threads = DEFAULT_THREADS,
    provider: Provider = DEFAULT_PROVIDER,
    as_json: JsonFlag = False,
) -> None:
    """Run head + tail against the whole model at every cut; exit status 1 if any differs.

    Example: splitpoint verify resnet50 --json
    """
    import numpy as np

    from partitioner.bundle import Bundle
    from partitioner.inputs import load_inputs
    from partitioner.profiling import natural_feeds
    from partitioner.sessions import RuntimeOptions
    from partitioner.tables import checks_json, checks_table
    from partitioner.verifying import verify_bundle

    loaded = Bundle.load(bundle)
    if data:
        feeds = load_inputs(data, loaded.inputs, limit=1)[0]
    else:
        feeds = dict(natural_feeds(loaded.inputs, np.random.default_rng()))
    with progress() as bar:
        task = bar.add_task("verifying", total=len(loaded.cuts))
        checks = verify_bundle(
            loaded,
            feeds,
            RuntimeOptions(threads, provider),
            tolerance,
            lambda cut, done, _: bar.update(task, completed=done, description=f"verifying {cut}"),
        )
    print_json(checks_json(checks)) if as_json else screen.print(checks_table(checks))
    if not all(check.ok for check in checks):
        raise typer.Exit(1)


@app.command()
def profile(
    bundle: BundleArgument,
    cloud: Annotated[
        str | None, typer.Option(help="HOST:PORT of a splitpoint-cloud that measures its side too.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Where this machine's profile goes; else into the bundle.")
    ] = None,
    data: Annotated[
        Path | None, typer.Option(help="Real inputs, to measure codecs with: images, .npy or .npz.")
    ] = None,
    budget: Budget = f"{DEFAULT_BUDGET_S:g}s",
    threads: Threads = DEFAULT_THREADS,
    provider: Provider = DEFAULT_PROVIDER,
    as_json: JsonFlag = False,
) -> None:
    """Measure this machine: every head, tail and codec of a bundle; with --cloud, the server as well.

    Example: splitpoint profile resnet50 --cloud 10.0.0.5:50051
    """
    from partitioner.bundle import Bundle
    from partitioner.inputs import load_inputs
    from partitioner.profiling import measure_profile
    from partitioner.remote import measure_remote_profile
    from partitioner.sessions import RuntimeOptions
    from partitioner.tables import profile_table
    from partitioner.units import parse_duration

    loaded = Bundle.load(bundle)
    budget_s = parse_duration(budget)
    if budget_s <= 0:
        raise UsageError(f"--budget {budget} leaves no time to measure in. Give more, such as 10s.")
    feeds = load_inputs(data, loaded.inputs) if data else []
    measured = {}
    with progress() as bar:
        task = bar.add_task("edge", total=None)

        def show(stage: str, done: int, total: int) -> None:
            bar.update(task, completed=done, total=total, description=f"{role} {stage}")

        if cloud:
            role = "cloud"
            measured[role] = measure_remote_profile(cloud, loaded, budget_s, on_progress=show)
            measured[role].save(loaded.profiles / "cloud.json")
        role = "edge"
        options = RuntimeOptions(threads, provider)
        measured[role] = measure_profile(loaded, options, budget_s, feeds, show)
        measured[role].save(out or loaded.profiles / "edge.json")
    if as_json:
        print_json({role: found.model_dump(mode="json") for role, found in measured.items()})
        return
    for role, found in sorted(measured.items(), reverse=True):
        screen.print(profile_table(found, role))
    next_step = f"splitpoint plan {bundle} --bandwidth 10mbit --rtt 20ms"
    if not (loaded.profiles / "cloud.json").exists():
        next_step += " --cloud-scale 0.2 (or measure the server first: --cloud HOST:PORT)"
    remark(f"Next: {next_step}")


@app.command()
def plan(
    bundle: BundleArgument,
    bandwidth: Annotated[str, typer.Option(help="Uplink, as 10mbit, 1.5Mbit/s or 2MB/s.")],
    rtt: Annotated[str, typer.Option(help="Round-trip time, as 20ms.")],
    down: Annotated[str | None, typer.Option(help="Downlink; else that of the uplink.")] = None,
    codec: Annotated[str | None, typer.Option(help="Only options with this codec.")] = None,
    edge: Annotated[
        Path | None, typer.Option(help="The edge's profile; else the bundle's own.")
    ] = None,
    cloud: Annotated[
        Path | None, typer.Option(help="The cloud's profile; else the bundle's own.")
    ] = None,
    edge_scale: Annotated[
        float,
        typer.Option(help="What if the edge took this many times as long? Scaled, not measured."),
    ] = 1.0,
    cloud_scale: Annotated[
        float | None,
        typer.Option(help="The same for the cloud; without a cloud profile, of the edge's times."),
    ] = None,
    plot: Annotated[
        Path | None,
        typer.Option(help="Draw bars per cut, and latency against bandwidth: FILE.png."),
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """Price every cut on a link, and mark the best.

    Example: splitpoint plan resnet50 --bandwidth 10mbit --rtt 20ms --plot plan.png
    """
    from partitioner.bundle import Bundle
    from partitioner.link import Link
    from partitioner.planning import find_profiles
    from partitioner.planning import plan as make_plan
    from partitioner.plots import draw_plan
    from partitioner.tables import plan_json, plan_table, scale_text, switches_text
    from partitioner.units import parse_duration, parse_rate

    uplink = parse_rate(bandwidth)
    link = Link(uplink, parse_rate(down) if down else uplink, parse_duration(rtt))
    loaded = Bundle.load(bundle)
    profiles = find_profiles(loaded, edge, cloud, edge_scale=edge_scale, cloud_scale=cloud_scale)
    made = make_plan(loaded, link, *profiles, codec=codec)
    if plot:
        draw_plan(made, plot)
    if as_json:
        print_json(plan_json(made))
        return
    screen.print(plan_table(made))
    screen.print(switches_text(made))
    if caveat := scale_text(made):
        remark(f"Note: {caveat}")
    if plot:
        remark(f"Plot: {plot}")


def main() -> None:
    """Command line entry."""
    run(app)


def _parse_inputs(texts: list[str]) -> tuple[dict[str, tuple[int, ...]], dict[str, str]]:
    from partitioner.units import parse_shape
    from protos.tensors import is_carried

    shapes, dtypes = {}, {}
    for text in texts:
        name, _, rest = text.partition("=")
        shape, _, dtype = rest.partition(":")
        if not name or not shape:
            raise UsageError(f"--input {text!r} is not understood. Write NAME=1x3x224x224.")
        if dtype and not is_carried(dtype):
            raise UsageError(
                f"--input {text!r}: there is no data type {dtype!r}. Write int64, say."
            )
        shapes[name] = parse_shape(shape)
        if dtype:
            dtypes[name] = dtype
    return shapes, dtypes


def _read_labels(path: Path) -> tuple[str, ...]:
    try:
        labels = tuple(line.strip() for line in path.read_text().splitlines() if line.strip())
    except (OSError, UnicodeDecodeError) as error:
        raise FileError(
            f"labels {path} cannot be read: {error}. Give a text file, one label a line."
        ) from error
    if not labels:
        raise ModelError(f"labels {path} is empty. Give one class name a line.")
    return labels
