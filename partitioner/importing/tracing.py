"""What every value of a model is, found by running it: data types, shapes, and the batch axis."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import onnx
from onnx import helper

from partitioner.sessions import RuntimeOptions, open_session, random_feeds
from protos.errors import ModelError
from protos.tensors import Array, TensorSpec, is_carried

_TOLERANCE = 1e-3
"""A batch of two must equal two batches of one to this, relative to the largest output."""


class Trace:
    """The specs of all values of a model that can cross a network, with -1 for a free batch axis."""

    def __init__(self, values: Mapping[str, TensorSpec], *, batch_is_free: bool) -> None:
        self.values = values
        self.batch_is_free = batch_is_free


def trace(model: onnx.ModelProto, folder: Path, samples: Mapping[str, Array] | None) -> Trace:
    """Run `model` (whose external data lies in `folder`) and return what its values are.

    It is run on the first of `samples`, else on random inputs; with a batch of two as well, to see which
    axis grows. Where a batch of two fails or differs from two single runs, the batch stays what it was.
    Raises ModelError when the model cannot run at all.
    """
    specs = input_specs(model)
    feeds = _first(samples) if samples else random_feeds(specs, np.random.default_rng(0))
    single = _run(model, folder, feeds)
    if isinstance(single, Exception):
        raise ModelError(
            f"the model fails on {'the given' if samples else 'random'} inputs: {single}. "
            "Give inputs that it accepts with --samples."
        ) from single
    free = _free_batch(model)
    double = _run(free, folder, _doubled(feeds, specs)) if free is not None else None
    outputs = [output.name for output in model.graph.output]
    if isinstance(double, dict) and _agrees(single, double, outputs):
        return Trace(_merged(single | feeds, double | _doubled(feeds, specs)), batch_is_free=True)
    fixed = {name: _spec(name, array) for name, array in (single | feeds).items()}
    return Trace({name: spec for name, spec in fixed.items() if spec}, batch_is_free=False)


def input_specs(model: onnx.ModelProto) -> tuple[TensorSpec, ...]:
    """Return the specs of a model's inputs, whose shapes are all known.

    Raises ModelError for a data type that cannot cross.
    """
    return tuple(_input_spec(value) for value in model.graph.input)


def _input_spec(value: onnx.ValueInfoProto) -> TensorSpec:
    tensor = value.type.tensor_type
    dtype = helper.tensor_dtype_to_np_dtype(tensor.elem_type).name
    if not is_carried(dtype):
        raise ModelError(f"input {value.name!r} is of type {dtype}, which cannot cross a network.")
    return TensorSpec(value.name, dtype, tuple(dim.dim_value for dim in tensor.shape.dim))


def _run(
    model: onnx.ModelProto, folder: Path, feeds: Mapping[str, Array]
) -> dict[str, object] | Exception:
    """Return every value that the nodes compute, or what the runtime said."""
    traced = onnx.ModelProto()
    traced.CopyFrom(model)
    del traced.graph.output[:]
    names = [name for node in model.graph.node for name in node.output if name]
    traced.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names)
    path = folder / ".trace.onnx"
    path.write_bytes(traced.SerializeToString())
    try:
        session = open_session(path, RuntimeOptions(), optimize=False)
        return dict(zip(names, session.run(names, dict(feeds)), strict=True))
    except Exception as error:  # noqa: BLE001 - the runtime raises a dozen types of its own
        return error
    finally:
        path.unlink()


def _free_batch(model: onnx.ModelProto) -> onnx.ModelProto | None:
    """Return the model with the first axis of every input left open; None where an input has no batch."""
    free = onnx.ModelProto()
    free.CopyFrom(model)
    for value in free.graph.input:
        shape = value.type.tensor_type.shape
        if not shape.dim or shape.dim[0].dim_value != 1:
            return None
        shape.dim[0].ClearField("dim_value")
        shape.dim[0].dim_param = "batch"
    del free.graph.value_info[:]
    for value in free.graph.output:
        value.type.tensor_type.ClearField("shape")
    return free


def _doubled(feeds: Mapping[str, Array], specs: tuple[TensorSpec, ...]) -> dict[str, Array]:
    """Return a batch of two: the sample, and a second one that differs."""
    second = {
        spec.name: np.flip(feeds[spec.name], axis=-1) if len(spec.shape) > 1 else feeds[spec.name]
        for spec in specs
    }
    return {name: np.concatenate([array, second[name]]) for name, array in feeds.items()}


def _agrees(single: dict[str, object], double: dict[str, object], outputs: list[str]) -> bool:
    for name in outputs:
        one, two = single[name], double[name]
        if not isinstance(one, np.ndarray) or not isinstance(two, np.ndarray):
            return False
        if one.ndim == 0 or two.shape != (2 * one.shape[0], *one.shape[1:]) or one.shape[0] != 1:
            return False
        if not _close(one[0], two[0]):
            return False
    return True


def _close(one: Array, two: Array) -> bool:
    if one.dtype.kind not in "fc":
        return bool(np.array_equal(one, two))
    scale = max(float(np.max(np.abs(one), initial=0.0)), 1e-6)
    gap = np.abs(one.astype(np.float64) - two.astype(np.float64))
    return float(np.max(gap, initial=0.0)) <= _TOLERANCE * scale


def _merged(single: Mapping[str, object], double: Mapping[str, object]) -> dict[str, TensorSpec]:
    """Return specs with -1 where the size grew from 1 to 2; values whose batch hides elsewhere drop out."""
    found: dict[str, TensorSpec] = {}
    for name, array in single.items():
        one, two = _spec(name, array), _spec(name, double[name])
        if one is None or two is None or len(one.shape) != len(two.shape):
            continue
        pairs = list(zip(one.shape, two.shape, strict=True))
        grown = [pair for pair in pairs if pair[0] != pair[1]]
        if len(grown) > 1 or any(pair != (1, 2) for pair in grown):
            continue
        found[name] = TensorSpec(name, one.dtype, tuple(a if a == b else -1 for a, b in pairs))
    return found


def _spec(name: str, array: object) -> TensorSpec | None:
    if not isinstance(array, np.ndarray) or not is_carried(array.dtype.name) or 0 in array.shape:
        return None
    return TensorSpec(name, array.dtype.name, array.shape)


def _first(samples: Mapping[str, Array]) -> dict[str, Array]:
    return {name: array[:1] for name, array in samples.items()}
