"""Resize, normalise and change layout inside the graph, so that the model's input is a plain image."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from partitioner.bundle.manifest import Preprocess
from partitioner.common.units import parse_shape, plural
from protos.errors import ModelError, UsageError
from protos.tensors import Array

IMAGE_INPUT = "image"

PRESETS: dict[str, dict[str, Any]] = {
    "imagenet": {"mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225), "scale": 1 / 255},
    "unit": {"mean": (0.0,), "std": (1.0,), "scale": 1 / 255},
    "raw": {"mean": (0.0,), "std": (1.0,), "scale": 1.0},
}

_MAX_PIXELS = 1 << 26
"""Pillow takes larger images for bombs."""
_RESIZE_OPSET = 11
_ROI_OPTIONAL_OPSET = 13
_ANTIALIAS_OPSET = 18


@dataclass(frozen=True)
class _Step:
    """One operator: its constant inputs by name (None: left out), and its attributes."""

    op: str
    constants: Mapping[str, Array | None]
    attributes: Mapping[str, Any]


def parse_preprocess(text: str, model: onnx.ModelProto, frame: str | None) -> Preprocess:
    """Return what `preprocess` and `frame` ask for, fitted to the model's one image input.

    `text` is a preset (imagenet, unit, raw) or numbers: `mean=0.5:0.5:0.5,std=0.2:0.2:0.2,scale=0.0039`,
    with `layout=nhwc` for models that take channels last. Raises UsageError or ModelError.
    """
    numbers = dict(PRESETS[text]) if text in PRESETS else _parse_numbers(text)
    layout = numbers.pop("layout", None)
    sizes = _image_input(model)
    if layout is None:
        layout = "nhwc" if sizes[3] in (1, 3) and sizes[1] not in (1, 3) else "nchw"
    height, width, channels = sizes[1:] if layout == "nhwc" else (*sizes[2:], sizes[1])
    if channels not in (1, 3):
        raise ModelError(
            f"the model's input has {plural(channels, 'channel')}; an image has 1 or 3. Import without "
            "`preprocess`."
        )
    wanted = parse_shape(frame) if frame else (height, width)
    if len(wanted) != 2:
        raise UsageError(f"`frame` {frame!r} is no height and width. Write it as 480x640.")
    if math.prod(wanted) > _MAX_PIXELS:
        raise UsageError(
            f"`frame` {frame} has {plural(math.prod(wanted), 'pixel')}, and at most {_MAX_PIXELS} can be "
            "read. Give the size in which frames come."
        )
    for name in ("mean", "std"):
        if len(numbers[name]) == 1:
            numbers[name] *= channels
        if len(numbers[name]) != channels:
            raise UsageError(
                f"`preprocess` gives {plural(len(numbers[name]), 'number')} for {name}, but the model takes "
                f"{plural(channels, 'channel')}. Give one number, or {channels}."
            )
    return Preprocess(
        frame=wanted,
        resize=None if wanted == (height, width) else (height, width),
        layout=layout,
        **numbers,
    )


def prepend(model: onnx.ModelProto, wanted: Preprocess) -> None:
    """Put the nodes of `wanted` before the model, in place; its input becomes uint8 NHWC."""
    graph = model.graph
    inner = graph.input[0]
    name = IMAGE_INPUT if inner.name != IMAGE_INPUT else f"{IMAGE_INPUT}_uint8"
    opset = next((o.version for o in model.opset_import if o.domain in ("", "ai.onnx")), 0)
    if wanted.resize and opset < _RESIZE_OPSET:
        raise ModelError(
            f"the model has opset {opset}, and resizing needs {_RESIZE_OPSET}. Export it with a newer "
            "opset, or give `frame` the model's own size."
        )
    steps = _steps(wanted, inner.type.tensor_type.elem_type, opset)
    value = name
    nodes = []
    for position, step in enumerate(steps):
        output = inner.name if position == len(steps) - 1 else f"preprocess/{step.op}_{position}"
        title = f"preprocess/{step.op}_{position}"
        names = [_constant(graph, f"{title}/{key}", array) for key, array in step.constants.items()]
        node = helper.make_node(step.op, [value, *names], [output], name=title, **step.attributes)
        nodes.append(node)
        value = output
    model_nodes = list(graph.node)
    del graph.node[:]
    graph.node.extend([*nodes, *model_nodes])
    channels = len(wanted.mean)
    batch = inner.type.tensor_type.shape.dim[0].dim_value
    graph.input[0].CopyFrom(
        helper.make_tensor_value_info(name, TensorProto.UINT8, [batch, *wanted.frame, channels])
    )


def _steps(wanted: Preprocess, elem_type: int, opset: int) -> list[_Step]:
    """Return the operations in order; y = x * scale / std - mean / std."""
    # The reader of the image is channels last; resizing is defined on channels first.
    steps = [
        _Step("Cast", {}, {"to": TensorProto.FLOAT}),
        _Step("Transpose", {}, {"perm": [0, 3, 1, 2]}),
    ]
    if wanted.resize:
        scales = [1.0, 1.0, *map(_scale, wanted.frame, wanted.resize)]
        attributes = {"mode": "linear", "coordinate_transformation_mode": "half_pixel"}
        # No region of interest: before opset 13 an empty one has to be said.
        roi = None if opset >= _ROI_OPTIONAL_OPSET else np.zeros(0, dtype=np.float32)
        constants = {"roi": roi, "scales": np.array(scales, dtype=np.float32)}
        steps.append(
            _Step(
                "Resize",
                constants,
                attributes | ({"antialias": 1} if opset >= _ANTIALIAS_OPSET else {}),
            )
        )
    mean, std = (np.array(numbers).reshape(1, -1, 1, 1) for numbers in (wanted.mean, wanted.std))
    steps.append(_Step("Mul", {"factor": (wanted.scale / std).astype(np.float32)}, {}))
    steps.append(_Step("Sub", {"offset": (mean / std).astype(np.float32)}, {}))
    if wanted.layout == "nhwc":
        steps.append(_Step("Transpose", {}, {"perm": [0, 2, 3, 1]}))
    if elem_type != TensorProto.FLOAT:
        steps.append(_Step("Cast", {}, {"to": elem_type}))
    return steps


def _scale(found: int, wanted: int) -> np.float32:
    """Return the factor that the runtime, which rounds down, turns into exactly `wanted` pixels."""
    factor = np.float32(wanted / found)
    while np.floor(factor * np.float32(found)) < wanted:
        factor = np.nextafter(factor, np.float32(np.inf))
    return factor


def _constant(graph: onnx.GraphProto, name: str, value: Array | None) -> str:
    if value is None:
        return ""
    graph.initializer.append(numpy_helper.from_array(value, name))
    return name


def _image_input(model: onnx.ModelProto) -> tuple[int, ...]:
    inputs = model.graph.input
    if len(inputs) != 1 or len(inputs[0].type.tensor_type.shape.dim) != 4:
        shown = ", ".join(value.name for value in inputs)
        raise ModelError(
            f"`preprocess` needs a model with one image input of four axes; this one has: {shown}. "
            "Import without `preprocess`."
        )
    return tuple(dim.dim_value for dim in inputs[0].type.tensor_type.shape.dim)


def _parse_numbers(text: str) -> dict[str, Any]:
    numbers: dict[str, Any] = {"mean": (0.0,), "std": (1.0,), "scale": 1 / 255}
    for part in text.split(","):
        key, _, value = part.partition("=")
        try:
            numbers[key] = _PARSERS[key](value)
        except (KeyError, ValueError):
            raise UsageError(
                f"`preprocess` {text!r} is not understood at {part!r}. Use {', '.join(PRESETS)}, or "
                "numbers such as mean=0.5:0.5:0.5,std=0.2:0.2:0.2,scale=0.00392,layout=nchw, with every "
                "std above 0."
            ) from None
    return numbers


def _finite(text: str) -> float:
    if not math.isfinite(number := float(text)):
        raise ValueError(text)
    return number


def _several(text: str) -> tuple[float, ...]:
    return tuple(_finite(number) for number in text.split(":"))


def _spread(text: str) -> tuple[float, ...]:
    if min(numbers := _several(text)) <= 0:
        raise ValueError(text)
    return numbers


def _layout(text: str) -> str:
    if text not in ("nchw", "nhwc"):
        raise ValueError(text)
    return text


_PARSERS: dict[str, Callable[[str], Any]] = {
    "mean": _several,
    "std": _spread,
    "scale": _finite,
    "layout": _layout,
}
