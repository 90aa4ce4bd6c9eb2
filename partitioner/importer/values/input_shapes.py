"""One concrete shape for each input of a model, and what to ask for where the file leaves sizes open."""

from collections.abc import Mapping, Sequence

import onnx
from onnx import TensorProto, helper

from protos.errors import ModelError

_IMAGE_SIZE, _LENGTH = 224, 16
"""Sizes in examples: of an image's sides, and of any other axis."""


def pin_inputs(model: onnx.ModelProto, shapes: Mapping[str, tuple[int, ...]]) -> None:
    """Give every input one concrete shape, the batch axis included, in place.

    `shapes` wins over what the file says; a free first axis becomes 1. Raises ModelError when axes
    remain unknown, or when `shapes` names no input or contradicts the file.
    """
    weights = {tensor.name for tensor in model.graph.initializer}
    inputs = [value for value in model.graph.input if value.name not in weights]
    del model.graph.input[:]
    model.graph.input.extend(inputs)
    if not inputs:
        raise ModelError(
            "the model has no input, so that it gives the same answer always. Export it with its inputs."
        )
    if unknown := set(shapes) - {value.name for value in inputs}:
        raise ModelError(
            f"the model has no input {', '.join(sorted(unknown))}. "
            f"Its inputs are: {', '.join(value.name for value in inputs)}."
        )
    for value in model.graph.input:
        if not value.type.HasField("tensor_type"):
            raise ModelError(
                f"input {value.name!r} is no tensor; only tensors can cross a network."
            )
    named = _named_sizes(model.graph.input, shapes)
    known = {v.name: shapes.get(v.name, _shape(v, named)) for v in model.graph.input}
    if asked := [value for value in model.graph.input if known[value.name] is None]:
        raise ModelError(_question(asked))
    for value in model.graph.input:
        _pin(value, known[value.name] or ())


def leave_sizes_open(model: onnx.ModelProto, *, batch_alone: bool) -> None:
    """Let inputs have axes of any size (`batch_alone`: the first), in place; say nothing of other values."""
    for value in model.graph.input:
        dims = value.type.tensor_type.shape.dim
        for at, dim in enumerate(dims[:1] if batch_alone else dims):
            # Without a name the runtime takes a time with the square of the nodes.
            dim.dim_param = "batch" if batch_alone else f"{value.name}.{at}"
    del model.graph.value_info[:]
    for value in model.graph.output:
        value.type.tensor_type.ClearField("shape")


def check_types(model: onnx.ModelProto, wanted: Mapping[str, str]) -> None:
    """Raise ModelError unless the inputs are of the data types that `wanted` says, where it says any."""
    for value in model.graph.input:
        if (dtype := wanted.get(value.name)) is None:
            continue
        found = helper.tensor_dtype_to_np_dtype(value.type.tensor_type.elem_type).name
        if dtype != found:
            raise ModelError(
                f"input {value.name!r} was given as {dtype}, and the model takes {found}. Leave the type "
                "out: an ONNX file says its own."
            )


def example_shape(value: onnx.ValueInfoProto) -> str:
    """Return a shape that an input could have, as people write it: `1x128`; axes of one name are as long."""
    tensor = value.type.tensor_type
    if not tensor.HasField("shape"):
        return f"1x{_LENGTH}"
    said = _sizes(value)
    is_image = len(said) == 4 and tensor.elem_type in (TensorProto.FLOAT, TensorProto.UINT8)
    if is_image and not {said[1], said[3]} & {1, 3}:
        is_image = said[1:] == [None] * 3
        said = [*said[:1], 3, *said[2:]] if is_image else said
    free = _IMAGE_SIZE if is_image else _LENGTH
    first = said[0] or 1 if said else 1
    return "x".join(str(size) for size in (first, *(s or free for s in said[1:]))) if said else "1"


def _question(asked: Sequence[onnx.ValueInfoProto]) -> str:
    shown = "; ".join(f"{value.name} is {_declared(value)}" for value in asked)
    example = " ".join(f"`input_shapes` {value.name}={example_shape(value)}" for value in asked)
    return f"the model leaves sizes of its inputs open: {shown}. Say them (with your own sizes): {example}."


def _declared(value: onnx.ValueInfoProto) -> str:
    tensor = value.type.tensor_type
    dtype = helper.tensor_dtype_to_np_dtype(tensor.elem_type).name
    if not tensor.HasField("shape"):
        return f"{dtype} of unknown shape"
    sizes = (
        dim.dim_param or str(size or "?")
        for dim, size in zip(tensor.shape.dim, _sizes(value), strict=True)
    )
    return f"{dtype}[{', '.join(sizes)}]"


def _sizes(value: onnx.ValueInfoProto) -> list[int | None]:
    """Return the sizes that the file says, None where it says none (old exporters write -1 or 0)."""
    dims = value.type.tensor_type.shape.dim
    return [
        dim.dim_value if dim.HasField("dim_value") and dim.dim_value > 0 else None for dim in dims
    ]


def _named_sizes(
    inputs: Sequence[onnx.ValueInfoProto], shapes: Mapping[str, tuple[int, ...]]
) -> dict[str, int]:
    """Return sizes by the names of axes: of the inputs that are said, and 1 for a batch, which is what all
    first axes with a name are called."""
    dims = {value.name: value.type.tensor_type.shape.dim for value in inputs}
    first = {each[0].dim_param for each in dims.values() if each and each[0].dim_param}
    named = dict.fromkeys(first, 1) if len(first) == 1 else {}
    for name, sizes in shapes.items():
        named |= {dim.dim_param: size for dim, size in zip(dims[name], sizes, strict=False)}
    return {name: size for name, size in named.items() if name.strip("?")}


def _shape(value: onnx.ValueInfoProto, named: Mapping[str, int]) -> tuple[int, ...] | None:
    """Return the shape of an input that was not said: None if it leaves more than its first size open."""
    tensor = value.type.tensor_type
    said = [
        size or named.get(dim.dim_param)
        for size, dim in zip(_sizes(value), tensor.shape.dim, strict=True)
    ]
    if said and said[0] is None:
        said[0] = 1
    found = tuple(size for size in said if size is not None)
    return found if tensor.HasField("shape") and len(found) == len(said) else None


def _pin(value: onnx.ValueInfoProto, wanted: tuple[int, ...]) -> None:
    tensor = value.type.tensor_type
    said = _sizes(value)
    if tensor.HasField("shape") and (
        len(wanted) != len(said)
        or any(s and s != w for s, w in zip(said[1:], wanted[1:], strict=True))
    ):
        raise ModelError(
            f"input {value.name!r} was given as {'x'.join(map(str, wanted))}, but the model wants "
            f"{'x'.join(str(size or 'any') for size in said)}. Give a shape that fits."
        )
    del tensor.shape.dim[:]
    for size in wanted:
        tensor.shape.dim.add(dim_value=size)
