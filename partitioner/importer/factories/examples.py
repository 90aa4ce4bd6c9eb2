"""Example inputs of a module: tensors become inputs of the model, everything else is fixed in it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from protos.errors import ModelError


@dataclass(frozen=True)
class Examples:
    """Example tensors by the name of the input, and how they become the module's arguments.

    `arguments` gives positional and keyword arguments for a list of tensors. `direct`: each tensor is an
    argument of its own, by its name, and there is no other.
    """

    names: list[str]
    tensors: list[Any]
    arguments: Callable[[Sequence[Any]], tuple[list[Any], dict[str, Any]]]
    direct: bool


def read_examples(
    source: str,
    parameters: Sequence[str],
    example: Any,
    say: Callable[[str], None],
    *,
    starred: str = "",
) -> Examples:
    """Return the examples in a tensor, an array, a tuple, a list or a dict of them by parameter.

    Numbers, texts and None among them are fixed in the model, which `say` hears. `starred`: the parameter
    that takes all further arguments. Raises ModelError.
    """
    given = _by_parameter(source, list(parameters), example, starred)
    names: list[str] = []
    tensors: list[Any] = []
    fixed: list[str] = []
    forms = [(name, _form(source, name, value, names, tensors, fixed)) for name, value, _ in given]
    if not tensors:
        raise ModelError(
            f"{source} came with example inputs none of which is a tensor. Give tensors: what is none is "
            "fixed in the model."
        )
    if fixed:
        say(f"fixed in the model, as its example inputs are no tensors: {', '.join(fixed)}.")
    positional = [is_positional for _, _, is_positional in given]

    def arguments(values: Sequence[Any]) -> tuple[list[Any], dict[str, Any]]:
        filled = [(name, form(values)) for name, form in forms]
        pairs = list(zip(filled, positional, strict=True))
        return (
            [value for (_, value), is_positional in pairs if is_positional],
            {name: value for (name, value), is_positional in pairs if not is_positional},
        )

    return Examples(
        names, tensors, arguments, [name for name, _, _ in given] == names and not any(positional)
    )


def _by_parameter(
    source: str, parameters: list[str], example: Any, starred: str
) -> list[tuple[str, Any, bool]]:
    """Return name, value, and whether it is a positional argument, of each argument."""
    if isinstance(example, Mapping):
        known = [name for name in parameters if name in example]
        order = [*known, *(name for name in example if name not in known)]
        return [(name, example[name], False) for name in order]
    values = list(example) if isinstance(example, tuple | list) else [example]
    plain = [name for name in parameters if name != starred]
    if len(values) > len(plain) and not starred:
        raise ModelError(
            f"{source} came with {len(values)} example inputs, and the module takes "
            f"{', '.join(plain) or 'none'}. Give one for each."
        )
    if not starred or len(values) <= parameters.index(starred):
        return [(name, value, False) for name, value in zip(plain, values, strict=False)]
    first = parameters.index(starred)
    rest = [f"{starred}_{number}" for number in range(len(values) - first)]
    return [
        (name, value, True)
        for name, value in zip([*parameters[:first], *rest], values, strict=True)
    ]


def _form(
    source: str, name: str, value: Any, names: list[str], tensors: list[Any], fixed: list[str]
) -> Callable[[Sequence[Any]], Any]:
    """Return what makes this argument of all tensors; adds to `names`, `tensors` and `fixed`."""
    import torch

    if isinstance(value, np.ndarray | np.generic) and value.dtype.kind in "fiub":
        value = torch.from_numpy(np.array(value, dtype=value.dtype.newbyteorder("=")))
    if isinstance(value, torch.Tensor):
        if value.is_meta:
            raise ModelError(
                f"{source}: the example of {name} lies on 'meta' and holds no numbers."
            )
        place = len(tensors)
        names.append(name)
        value = value.float() if value.dtype is torch.bfloat16 else value
        tensors.append(value.detach().cpu())
        return lambda values: values[place]
    if isinstance(value, Mapping):
        parts = {
            key: _form(source, f"{name}_{key}", part, names, tensors, fixed)
            for key, part in value.items()
        }
        return lambda values: {key: form(values) for key, form in parts.items()}
    if isinstance(value, tuple | list):
        forms = [
            _form(source, f"{name}_{number}", part, names, tensors, fixed)
            for number, part in enumerate(value)
        ]
        kind = type(value)
        make = kind._make if hasattr(kind, "_make") else kind  # named tuples
        return lambda values: make([form(values) for form in forms])
    if value is None or isinstance(value, bool | int | float | complex | str):
        if value is not None:
            fixed.append(f"{name}={value!r}")
        return lambda _: value
    raise ModelError(
        f"{source}: the example of {name} is a {type(value).__name__}. Give a tensor, a number, or lists "
        "and dicts of them."
    )
