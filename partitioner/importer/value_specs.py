"""Data types, shapes and batch axis of every value of a model, found by running it."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import onnx
from onnx import helper

from partitioner.importer.onnx_graph import constant_values
from partitioner.importer.values.data_sizes import data_sized, provable_sizes
from partitioner.importer.values.draws import draws
from partitioner.importer.values.input_shapes import leave_sizes_open
from partitioner.runtime.failures import Cause, Failure
from partitioner.runtime.sessions import RuntimeOptions, open_session, random_feeds
from protos.errors import ModelError
from protos.tensors import DATA_SIZE, Array, TensorSpec, is_carried

_TOLERANCE, _STEPS = 1e-3, 8
"""A batch of two must equal two batches of one to this, relative to the largest output, or to so many steps
of the output's type."""

_NUMPY_TYPES = {
    f"tensor({name})": {"float": "float32", "double": "float64"}.get(name, name)
    for name in "bool uint8 uint16 uint32 uint64 int8 int16 int32 int64 float16 float double".split()
}
"""What the runtime calls the tensors that numpy can hold, and numpy's names."""

_SHAPE_OPSET = 15
"""Of the operator Shape, for a model that has no standard operators."""

Feeds = Mapping[str, Array]


def trace(
    model: onnx.ModelProto, folder: Path, samples: Sequence[Feeds] = ()
) -> dict[str, TensorSpec]:
    """Run `model` (whose external data lies in `folder`) and return the values that can cross a network.

    It is run on two inputs (of `samples`, else random), and on both as a batch of two. Axes that the data
    size are -2 in the shapes. If the batch of two equals the two single runs, the axis that grew is -1;
    values without one such axis are then left out, and those that data size. Else the batch stays what it
    was. Specs of inputs say from where to draw random ones that the model takes. Raises ModelError when
    the model cannot run at all.
    """
    runs = _run_twice(model, folder, samples)
    drawn = {spec.name: spec.drawn for spec in runs.specs}
    known = _values(model, folder, runs)
    return {name: replace(spec, drawn=drawn.get(name, ())) for name, spec in known.items()}


class _Runs(NamedTuple):
    """Two inputs, what the model made of each, and the specs that they were drawn by."""

    specs: tuple[TensorSpec, ...]
    feeds: tuple[Feeds, Feeds]
    one: dict[str, Array]
    two: dict[str, Array] | Exception


def _run_twice(model: onnx.ModelProto, folder: Path, samples: Sequence[Feeds]) -> _Runs:
    """Return runs whose outputs are numbers if some draw gives such, else any that work."""
    outputs = [output.name for output in model.graph.output]
    specs, found, failure = input_specs(model), None, None
    tried: set[tuple[TensorSpec, ...]] = set()
    for ranged in draws(model, specs):
        if ranged in tried or (tried and len(samples) > 1):
            continue
        tried.add(ranged)
        first, second = _two_inputs(ranged, samples)
        one = _run(model, folder, first)
        if isinstance(one, Exception):
            failure = failure or one
            continue
        runs = _Runs(ranged, (first, second), one, _run(model, folder, second))
        if not isinstance(runs.two, Exception) and _are_numbers(runs, outputs):
            return runs
        found = found or runs
    if found is None:
        raise _no_run(specs, failure, given=bool(samples)) from failure
    return found


def _are_numbers(runs: _Runs, outputs: Sequence[str]) -> bool:
    arrays = [side.get(name) for side in (runs.one, runs.two) for name in outputs]  # type: ignore[union-attr]
    return all(a is None or a.dtype.kind != "f" or bool(np.isfinite(a).all()) for a in arrays)


def _no_run(specs: Sequence[TensorSpec], failure: Exception | None, *, given: bool) -> ModelError:
    """Return what to say where no input was taken."""
    found = Failure.of(failure or RuntimeError("no input was tried"))
    sizes = ", ".join(f"{spec.name} {spec}" for spec in specs)
    advice = {
        Cause.MEMORY: "Free memory, or give smaller inputs with `input_shapes`.",
        Cause.SHAPES: f"Its inputs are {sizes}: give sizes that fit together with `input_shapes`, or, where "
        "it is the values that do not fit, inputs that it takes with `samples`.",
    }.get(found.cause, "Give inputs that it takes with `samples`.")
    which = "the given" if given else "random"
    return ModelError(f"the model fails on {which} inputs: {found.said}. {advice}")


def _values(model: onnx.ModelProto, folder: Path, runs: _Runs) -> dict[str, TensorSpec]:
    one, two = runs.one, runs.two
    known = _specs(model, one, one if isinstance(two, Exception) else two)
    constants = constant_values(model.graph)
    outputs = [output.name for output in model.graph.output if output.name not in constants]
    known.update(_weights_among_outputs(model.graph))
    for output in model.graph.output:
        _check_output(output.name, one, known)
    if isinstance(two, Exception) or not _may_batch(model):
        return known
    if any(name not in known or known[name].is_data_sized for name in outputs):
        return known
    first, second = runs.feeds
    both = _run(
        _loosened(model, batch_alone=True),
        folder,
        {name: np.concatenate([first[name], second[name]]) for name in first},
    )
    if isinstance(both, Exception) or not _agrees(one, two, both, outputs):
        return known
    return _grown(known, both)


def input_specs(model: onnx.ModelProto) -> tuple[TensorSpec, ...]:
    """Return the specs of a model's inputs, whose shapes are all known.

    Raises ModelError for a data type that cannot cross.
    """
    return tuple(_input_spec(value) for value in model.graph.input)


def _input_spec(value: onnx.ValueInfoProto) -> TensorSpec:
    tensor = value.type.tensor_type
    dtype = helper.tensor_dtype_to_np_dtype(tensor.elem_type).name
    if not is_carried(dtype):
        kind = "text" if dtype == "object" else dtype
        raise ModelError(
            f"input {value.name!r} is of type {kind}, which cannot cross a network. Export the model with "
            "an input of numbers."
        )
    return TensorSpec(value.name, dtype, tuple(dim.dim_value for dim in tensor.shape.dim))


def _two_inputs(specs: tuple[TensorSpec, ...], samples: Sequence[Feeds]) -> tuple[Feeds, Feeds]:
    """Return two inputs that differ: two that are alike prove nothing of a batch of them."""
    random = [random_feeds(specs, np.random.default_rng(seed)) for seed in (0, 1)]
    first = samples[0] if samples else random[0]
    others = [*samples[1:], *random[1:]]
    return first, next(each for each in others if _differ(first, each) or each is random[1])


def _differ(one: Feeds, two: Feeds) -> bool:
    return any(not np.array_equal(one[name], two[name]) for name in one)


def _run(model: onnx.ModelProto, folder: Path, feeds: Feeds) -> dict[str, Array] | Exception:
    """Run the model as it is; where its sizes are at odds with a branch that is not taken, without them."""
    found = _run_once(model, folder, feeds)
    if not isinstance(found, Exception) or Failure.of(found).cause in (Cause.MEMORY, Cause.VALUES):
        return found
    again = _run_once(_loosened(model), folder, feeds)
    return found if isinstance(again, Exception) else again


def _loosened(model: onnx.ModelProto, *, batch_alone: bool = False) -> onnx.ModelProto:
    """Return the model with no size said of its inputs, or with all but the first."""
    free = onnx.ModelProto()
    free.CopyFrom(model)
    leave_sizes_open(free, batch_alone=batch_alone)
    return free


def _run_once(model: onnx.ModelProto, folder: Path, feeds: Feeds) -> dict[str, Array] | Exception:
    """Return the inputs and every tensor of numbers that the nodes compute, or what the runtime said.

    Of what is no output only type and shape are true: it is zeros, which take no memory. The runtime is
    asked for its shape alone and frees it behind its last reader, so a trace takes the memory of one run.
    """
    try:
        types = _number_types(model, folder)
        outputs = [value.name for value in model.graph.output if value.name in types]
        shapes = {f"splitpoint.shape.{at}": name for at, name in enumerate(types)}
        nodes = [helper.make_node("Shape", [name], [shape]) for shape, name in shapes.items()]
        wanted = [*outputs, *shapes]
        session = _open(model, folder, wanted, nodes)
        made = session.run(wanted, dict(feeds)) if wanted else []  # asked for none, it gives all
        found = dict(zip(wanted, made, strict=True))
    except Exception as error:  # noqa: BLE001 - the runtime raises a dozen types of its own
        return error
    values = {
        name: np.broadcast_to(np.zeros((), types[name]), found[shape])
        for shape, name in shapes.items()
    }
    return {**feeds, **values, **{name: found[name] for name in outputs}}


def _number_types(model: onnx.ModelProto, folder: Path) -> dict[str, str]:
    """Return numpy's name of the type of every tensor of numbers that a node makes; nothing is run."""
    names = [name for node in model.graph.node for name in node.output if name]
    session = _open(model, folder, names, ())
    types = {value.name: value.type for value in session.get_outputs()}
    return {name: _NUMPY_TYPES[types[name]] for name in names if types[name] in _NUMPY_TYPES}


def _open(
    model: onnx.ModelProto, folder: Path, outputs: Sequence[str], more: Sequence[onnx.NodeProto]
) -> Any:
    """Return a session of the model with these outputs and `more` nodes; errors are the runtime's own."""
    traced = onnx.ModelProto()
    traced.CopyFrom(model)
    del traced.graph.output[:]
    traced.graph.output.extend(onnx.ValueInfoProto(name=name) for name in outputs)
    traced.graph.node.extend(more)
    if not any(entry.domain in ("", "ai.onnx") for entry in model.opset_import):
        traced.opset_import.append(helper.make_opsetid("", _SHAPE_OPSET))
    path = folder / ".trace.onnx"
    path.write_bytes(traced.SerializeToString())
    try:
        return open_session(path, RuntimeOptions(), optimize=False, shapes_first=True)
    finally:
        path.unlink()


def _may_batch(model: onnx.ModelProto) -> bool:
    """Tell whether the first axis of every input may be one of samples."""
    shapes = [value.type.tensor_type.shape for value in model.graph.input]
    return all(shape.dim and shape.dim[0].dim_value == 1 for shape in shapes)


def _specs(model: onnx.ModelProto, one: Feeds, two: Feeds) -> dict[str, TensorSpec]:
    """Return the specs of the values that are tensors of numbers with as many axes for both inputs."""
    unsettled = data_sized(model)
    proven = provable_sizes(model) if unsettled else {}
    return {
        name: _spec(name, array, two[name].shape, proven.get(name, ()), name in unsettled)
        for name, array in one.items()
        if is_carried(array.dtype.name) and two[name].ndim == array.ndim
    }


def _spec(
    name: str, array: Array, other: tuple[int, ...], proven: tuple[int | None, ...], unsettled: bool
) -> TensorSpec:
    """Return the spec of a value that had the shapes of `array` and `other`."""
    known = proven if len(proven) == array.ndim else (None,) * array.ndim
    free = [
        size != again or (unsettled and sure is None)
        for size, again, sure in zip(array.shape, other, known, strict=True)
    ]
    shape = tuple(DATA_SIZE if any_ else size for any_, size in zip(free, array.shape, strict=True))
    usual = tuple(max(s, o) for any_, s, o in zip(free, array.shape, other, strict=True) if any_)
    return TensorSpec(name, array.dtype.name, shape, usual)


def _check_output(name: str, one: Feeds, known: Mapping[str, TensorSpec]) -> None:
    if name in known:
        return
    why = "the number of its axes depends on the data"
    if name not in one or not is_carried(one[name].dtype.name):
        why = "it is no tensor of numbers"
    raise ModelError(f"output {name!r} cannot cross a network: {why}. Export the model without it.")


def _weights_among_outputs(graph: onnx.GraphProto) -> dict[str, TensorSpec]:
    outputs = {value.name for value in graph.output}
    return {
        tensor.name: TensorSpec(
            tensor.name,
            helper.tensor_dtype_to_np_dtype(tensor.data_type).name,
            tuple(tensor.dims),
        )
        for tensor in graph.initializer
        if tensor.name in outputs
    }


def _agrees(one: Feeds, two: Feeds, both: Feeds, outputs: list[str]) -> bool:
    """Tell whether every output of the batch of two is that of the two single runs, row by row."""
    for name in outputs:
        if name not in one or one[name].shape[:1] != (1,):
            return False
        if both[name].shape != (2, *one[name].shape[1:]) or two[name].shape != one[name].shape:
            return False
        if not (_close(one[name][0], both[name][0]) and _close(two[name][0], both[name][1])):
            return False
    return True


def _close(one: Array, two: Array) -> bool:
    """Tell whether values agree; what is no number in both says nothing, and that alone proves nothing."""
    if one.dtype.kind not in "fc":
        return bool(np.array_equal(one, two))
    told = np.isfinite(one)
    if not np.array_equal(one[~told], two[~told], equal_nan=True) or (one.size and not told.any()):
        return False
    scale = max(float(np.max(np.abs(one[told]), initial=0.0)), 1e-6)
    gap = np.abs(one[told].astype(np.float64) - two[told].astype(np.float64))
    tolerance = max(_TOLERANCE, _STEPS * float(np.finfo(one.dtype.name).eps))
    return float(np.max(gap, initial=0.0)) <= tolerance * scale


def _grown(steady: Mapping[str, TensorSpec], both: Feeds) -> dict[str, TensorSpec]:
    """Return specs with -1 where a size went from 1 to 2; a batch that hides elsewhere drops the value."""
    found: dict[str, TensorSpec] = {}
    for name, spec in steady.items():
        if name not in both:  # a weight, which is an output as well
            found[name] = spec
            continue
        pairs = list(zip(spec.shape, both[name].shape, strict=False))
        grown = [pair for pair in pairs if pair[0] != pair[1]]
        if (
            not spec.is_data_sized
            and both[name].ndim == len(spec.shape)
            and grown in ([], [(1, 2)])
        ):
            shape = tuple(old if old == new else -1 for old, new in pairs)
            found[name] = replace(spec, shape=shape)
    return found
