"""From a factory of a torch module to an ONNX file, through torch.export."""

import contextlib
import importlib
import importlib.util
import logging
import re
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

from partitioner.importer.factories.examples import Examples, read_examples
from partitioner.importer.factories.modules import (
    example_shapes,
    parameters_of,
    plain_module,
    starred_of,
)
from protos.errors import ModelError

Say = Callable[[str], None]

_FACTORY = re.compile(r"(?P<where>.+):(?P<name>[A-Za-z_]\w*)")


def is_factory(source: str) -> bool:
    """Tell whether `source` reads as `package.module:factory` or `file.py:factory`."""
    return not Path(source).exists() and _FACTORY.fullmatch(source) is not None


def export_factory(
    source: str,
    shapes: Mapping[str, tuple[int, ...]],
    dtypes: Mapping[str, str],
    out: Path,
    say: Say = lambda _: None,
) -> None:
    """Call the factory, export the module that it returns, and write the ONNX file `out`.

    The factory returns a torch.nn.Module (traced, scripted, compiled and parallel ones too), or a pair of
    it and its example inputs: a tensor or an array, or a tuple, list or dict of them, in which numbers are
    fixed. `shapes` and `dtypes` describe inputs by name where there is no example. `say`
    hears what is changed or fixed. Raises ModelError.
    """
    try:
        import onnxscript  # noqa: F401 - wanted by the exporter, which says so less clearly
        import torch  # noqa: F401
    except ImportError as error:
        raise ModelError(
            f"{source} is a torch module, and {error.name} is not installed. "
            "Install it with: pip install 'splitpoint[torch]'."
        ) from error
    made = _call(source)
    pair = isinstance(made, tuple) and len(made) == 2
    module = plain_module(source, made[0] if pair else made, say)
    examples = _examples(source, module, made[1] if pair else None, shapes, dtypes, say)
    _export(source, module, examples, out)


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
        if _is_module(factory):
            return factory
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


def _is_module(value: Any) -> bool:
    import torch

    return isinstance(value, torch.nn.Module)


def _examples(
    source: str,
    module: Any,
    example: Any,
    shapes: Mapping[str, tuple[int, ...]],
    dtypes: Mapping[str, str],
    say: Say,
) -> Examples:
    """Return the module's inputs with a tensor for each, in the order of its signature."""
    import torch

    parameters = parameters_of(module)
    if example is not None:
        return read_examples(source, parameters, example, say, starred=starred_of(module))
    if not shapes:
        raise ModelError(
            f"{source} came without example inputs. Say their shapes (with your own sizes): "
            f"{example_shapes(module)}. Or let the factory return (module, example_inputs)."
        )
    if unknown := [name for name in shapes if name not in parameters]:
        raise ModelError(
            f"the module takes {', '.join(parameters)}; it has no input {', '.join(unknown)}."
        )
    made = {}
    for name, shape in shapes.items():
        dtype = getattr(torch, dtypes.get(name, "float32"))
        make = torch.rand if dtype.is_floating_point else torch.zeros
        made[name] = make(shape, dtype=dtype)
    return read_examples(source, parameters, made, say)


def _export(source: str, module: Any, examples: Examples, out: Path) -> None:
    import torch

    tensors = examples.tensors
    attempts = [(tensors, False)]
    if all(tensor.dim() and tensor.shape[0] == 1 for tensor in tensors):
        # A batch of one would be taken for a constant; AUTO lets the exporter pin it where it must.
        attempts.insert(0, ([torch.cat([tensor, tensor]) for tensor in tensors], True))
    once = _export_script if isinstance(module, torch.jit.ScriptModule) else _export_once
    for position, (example, batched) in enumerate(attempts):
        try:
            once(module, examples, example, batched, out)
            return
        except Exception as error:
            if position + 1 == len(attempts):
                raise ModelError(
                    f"torch cannot export {source}: {_first_line(error)} {_advice(error)}"
                ) from error


def _advice(error: BaseException) -> str:
    """Return what to do about a failure of the exporter."""
    said = ""
    cause: BaseException | None = error
    while cause is not None:
        said, cause = f"{said} {type(cause).__name__} {cause}", cause.__cause__
    if "data-dependent" in said or "DynamicControlFlow" in said:
        return (
            "Its forward chooses by the values of a tensor, as in `if x.sum() > 0`. Compute both ways and "
            "choose with torch.where, or use torch.cond."
        )
    return "Check the shapes and types of the inputs (token ids are NAME=1x128:int64)."


def _first_line(error: BaseException) -> str:
    """Return what the innermost cause says first; the exporter wraps it in a page of advice."""
    while error.__cause__ is not None:
        error = error.__cause__
    text = re.sub(r"\x1b\[[0-9;]*m", "", str(error)).strip()
    return f"{type(error).__name__}: {text.splitlines()[0] if text else 'no reason given'}."


def _export_once(
    module: Any, examples: Examples, tensors: list[Any], batched: bool, out: Path
) -> None:
    import torch

    axes = tuple({0: torch.export.Dim.AUTO} for _ in tensors) if batched else None
    given: dict[str, Any] = {"kwargs": dict(zip(examples.names, tensors, strict=True))}
    shapes: Any = dict(zip(examples.names, axes, strict=True)) if axes else None
    if not examples.direct:
        module = _adapter(module, examples)
        given = {"args": tuple(tensors)}
        shapes = {"tensors": axes} if axes else None
    logging.getLogger("torch.onnx").setLevel(logging.CRITICAL)
    with _quiet():
        torch.onnx.export(
            module,
            **given,
            f=str(out),
            dynamo=True,
            input_names=examples.names,
            dynamic_shapes=shapes,
            external_data=True,
            verbose=False,
        )


def _export_script(
    module: Any, examples: Examples, tensors: list[Any], batched: bool, out: Path
) -> None:
    """Export what torch.jit has made, which only the exporter before torch.export takes."""
    import torch

    positional, named = examples.arguments(tensors)
    with _quiet():
        torch.onnx.export(
            module,
            (*positional, *named.values()),
            str(out),
            dynamo=False,
            input_names=examples.names,
            dynamic_axes={name: {0: "batch"} for name in examples.names} if batched else None,
        )


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    import torch

    quiet = warnings.catch_warnings(action="ignore")
    with quiet, contextlib.redirect_stdout(sys.stderr), torch.no_grad():
        yield


def _adapter(module: Any, examples: Examples) -> Any:
    """Return a module that takes the tensors alone, and hands them on as the module's own arguments."""
    import torch

    class Adapter(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.module = module

        def forward(self, *tensors: Any) -> Any:
            positional, named = examples.arguments(tensors)
            return self.module(*positional, **named)

    return Adapter().eval()
