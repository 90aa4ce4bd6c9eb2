"""From a factory of a torch module to an ONNX file, through torch.export."""

import contextlib
import importlib
import importlib.util
import inspect
import logging
import re
import sys
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

from protos.errors import ModelError

_FACTORY = re.compile(r"(?P<where>.+):(?P<name>[A-Za-z_]\w*)")


def is_factory(source: str) -> bool:
    """Tell whether `source` reads as `package.module:factory` or `file.py:factory`."""
    return not Path(source).exists() and _FACTORY.fullmatch(source) is not None


def export_factory(
    source: str, shapes: Mapping[str, tuple[int, ...]], dtypes: Mapping[str, str], out: Path
) -> None:
    """Call the factory, export the module that it returns, and write the ONNX file `out`.

    The factory returns a torch.nn.Module, or a pair of it and its example inputs (a tensor, a tuple or a
    dict). `shapes` and `dtypes` describe inputs by name where there is no example. Raises ModelError.
    """
    try:
        import onnxscript  # noqa: F401 - wanted by the exporter, which says so less clearly
        import torch
    except ImportError as error:
        raise ModelError(
            f"{source} is a torch module, and {error.name} is not installed. "
            "Install it with: pip install 'splitpoint[torch]'."
        ) from error
    made = _call(source)
    module, example = made if isinstance(made, tuple) and len(made) == 2 else (made, None)
    if not isinstance(module, torch.nn.Module):
        raise ModelError(
            f"{source} returned {type(module).__name__}, and a torch.nn.Module was wanted (or a pair of "
            "it and its example inputs)."
        )
    names, args = _arguments(source, module, example, shapes, dtypes)
    _export(source, module.eval(), names, args, out)


def _call(source: str) -> Any:
    found = _FACTORY.fullmatch(source)
    if found is None:
        raise ModelError(
            f"{source!r} names no factory. Write package.module:factory or file.py:factory."
        )
    is_file = found["where"].endswith(".py")
    folder = str(Path(found["where"]).resolve().parent if is_file else Path.cwd())
    sys.path.insert(0, folder)  # for what it imports, now or when it is called
    try:
        factory = getattr(_load(found["where"], source), found["name"], None)
        if not callable(factory):
            raise ModelError(
                f"{found['where']} has no factory {found['name']!r}. Give the name of a function."
            )
        return _run_user_code(source, factory)
    finally:
        with contextlib.suppress(ValueError):
            sys.path.remove(folder)


def _load(where: str, source: str) -> ModuleType:
    if not where.endswith(".py"):
        found: ModuleType = _run_user_code(source, lambda: importlib.import_module(where))
        return found
    path = Path(where).resolve()
    spec = importlib.util.spec_from_file_location(f"splitpoint_source_{path.stem}", path)
    if not path.is_file() or spec is None or spec.loader is None:
        raise ModelError(
            f"there is no file {where}. Give the path of a Python file, as in models.py:build."
        )
    module = importlib.util.module_from_spec(spec)
    loader = spec.loader
    sys.modules[spec.name] = module  # dataclasses and the like look their own module up
    _run_user_code(source, lambda: loader.exec_module(module))
    return module


def _run_user_code(source: str, code: Callable[[], Any]) -> Any:
    try:
        with contextlib.redirect_stdout(sys.stderr):  # stdout is ours, and may be JSON
            return code()
    except Exception as error:
        raise ModelError(
            f"{source} failed with {type(error).__name__}: {str(error).rstrip('.')}. Mend it, or give the "
            "factory of another module."
        ) from error


def _arguments(
    source: str,
    module: Any,
    example: Any,
    shapes: Mapping[str, tuple[int, ...]],
    dtypes: Mapping[str, str],
) -> tuple[list[str], list[Any]]:
    """Return the names of the module's inputs and one tensor for each, in the order of its signature."""
    import torch

    parameters = list(inspect.signature(module.forward).parameters)
    if isinstance(example, Mapping):
        order = sorted(
            example, key=lambda name: parameters.index(name) if name in parameters else 99
        )
        return order, [example[name] for name in order]
    if example is not None:
        tensors = list(example) if isinstance(example, tuple | list) else [example]
        return parameters[: len(tensors)], tensors
    if not shapes:
        raise ModelError(
            f"{source} came without example inputs. Say the shape of each with `input_shapes` "
            f"{parameters[0] if parameters else 'x'}=1x3x224x224, or let the factory return "
            "(module, example_inputs)."
        )
    if unknown := [name for name in shapes if name not in parameters]:
        raise ModelError(
            f"the module takes {', '.join(parameters)}; it has no input {', '.join(unknown)}."
        )
    order = sorted(shapes, key=parameters.index)
    tensors = []
    for name in order:
        dtype = getattr(torch, dtypes.get(name, "float32"))
        floating = dtype.is_floating_point
        tensors.append(
            torch.rand(shapes[name], dtype=dtype)
            if floating
            else torch.zeros(shapes[name], dtype=dtype)
        )
    return order, tensors


def _export(source: str, module: Any, names: list[str], args: list[Any], out: Path) -> None:
    import torch

    batched = all(arg.dim() and arg.shape[0] == 1 for arg in args)
    attempts: list[tuple[list[Any], Any]] = [(args, None)]
    if batched:
        # A batch of one would be taken for a constant; AUTO lets the exporter pin it where it must.
        doubled = [torch.cat([arg, arg]) for arg in args]
        axes = tuple({0: torch.export.Dim.AUTO} for _ in args)
        attempts.insert(0, (doubled, axes))
    for position, (example, axes) in enumerate(attempts):
        try:
            _export_once(module, names, example, axes, out)
            return
        except Exception as error:
            if position + 1 == len(attempts):
                raise ModelError(
                    f"torch cannot export {source}: {_first_line(error)} "
                    "Check the shapes and types of the inputs (token ids are NAME=1x128:int64)."
                ) from error


def _first_line(error: BaseException) -> str:
    """Return what the innermost cause says first; the exporter wraps it in a page of advice."""
    while error.__cause__ is not None:
        error = error.__cause__
    text = re.sub(r"\x1b\[[0-9;]*m", "", str(error)).strip()
    return f"{type(error).__name__}: {text.splitlines()[0] if text else 'no reason given'}."


def _export_once(module: Any, names: list[str], example: list[Any], axes: Any, out: Path) -> None:
    import torch

    logging.getLogger("torch.onnx").setLevel(logging.CRITICAL)
    quiet = warnings.catch_warnings(action="ignore")
    with quiet, contextlib.redirect_stdout(sys.stderr), torch.no_grad():
        kwargs = dict(zip(names, example, strict=True))
        shapes = dict(zip(names, axes, strict=True)) if axes else None
        torch.onnx.export(
            module,
            kwargs=kwargs,
            f=str(out),
            dynamo=True,
            input_names=names,
            dynamic_shapes=shapes,
            external_data=True,
            verbose=False,
        )
