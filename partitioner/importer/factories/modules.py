"""The module that a factory means: out of the wrappers for training and compiling, on the CPU."""

import inspect
from collections.abc import Callable
from typing import Any

from protos.errors import ModelError


def plain_module(source: str, made: Any, say: Callable[[str], None]) -> Any:
    """Return the torch.nn.Module that `made` is or wraps, in evaluation mode; ModelError if it is none.

    `say` hears what of it is changed.
    """
    import torch

    module = made
    while (inner := _inside(module)) is not None:
        module = inner
    if isinstance(module, torch.nn.Module):
        _check_weights(source, module)
        if any(weights.dtype is torch.bfloat16 for weights in module.parameters()):
            say("weights in bfloat16, which the runtime does not compute in, become float32.")
            module = module.float()
        return module.cpu().eval()
    wanted = "a torch.nn.Module was wanted, or a pair of it and its example inputs"
    if isinstance(made, type):
        raise ModelError(
            f"{source} is or returned the class {made.__name__}, and {wanted}. Call it."
        )
    if isinstance(made, dict):
        raise ModelError(
            f"{source} returned {type(made).__name__}, and {wanted}. A state_dict holds weights and no "
            "computation: build the module, and let it load_state_dict() them."
        )
    if isinstance(made, tuple):
        raise ModelError(
            f"{source} returned a tuple of {len(made)}, and {wanted}. Put all inputs into one tuple."
        )
    raise ModelError(f"{source} returned {type(made).__name__}, and {wanted}.")


def parameters_of(module: Any) -> list[str]:
    """Return the names of the inputs of a module's forward, in order."""
    import torch

    if isinstance(module, torch.jit.ScriptModule):
        method: Any = module.forward
        return [argument.name for argument in method.schema.arguments[1:]]
    return list(inspect.signature(module.forward).parameters)


def example_shapes(module: Any) -> str:
    """Return shapes that the inputs that a module needs could have, as options that say them: what the first
    layer takes for the first, and a vector for the others."""
    names = _needed(module) or ["x"]
    shapes = [_first_shape(module), *["1x16"] * (len(names) - 1)]
    return " ".join(f"`input_shapes` {n}={s}" for n, s in zip(names, shapes, strict=True))


def _needed(module: Any) -> list[str]:
    """Return the names of the inputs without a default."""
    import torch

    if isinstance(module, torch.jit.ScriptModule):
        return parameters_of(module)
    parameters = inspect.signature(module.forward).parameters.values()
    named = [
        one for one in parameters if one.kind in (one.POSITIONAL_ONLY, one.POSITIONAL_OR_KEYWORD)
    ]
    return [one.name for one in named if one.default is one.empty]


def _first_shape(module: Any) -> str:
    from torch import nn

    for layer in module.modules():
        if isinstance(layer, nn.Conv2d):
            return f"1x{layer.in_channels}x224x224"
        if isinstance(layer, nn.Conv1d):
            return f"1x{layer.in_channels}x16"
        if isinstance(layer, nn.Linear):
            return f"1x{layer.in_features}"
        if isinstance(layer, nn.Embedding):
            return "1x16:int64"
    return "1x16"


def starred_of(module: Any) -> str:
    """Return the name of the parameter that takes all further arguments (`*rest`); empty without one."""
    import torch

    if isinstance(module, torch.jit.ScriptModule):
        return ""
    parameters = inspect.signature(module.forward).parameters.values()
    return next((one.name for one in parameters if one.kind is one.VAR_POSITIONAL), "")


def _inside(module: Any) -> Any:
    """Return the module within a wrapper; None when it is no wrapper."""
    import torch

    parallel = (torch.nn.DataParallel, torch.nn.parallel.DistributedDataParallel)
    if isinstance(module, parallel):
        return module.module
    return getattr(module, "_orig_mod", None) if isinstance(module, torch.nn.Module) else None


def _check_weights(source: str, module: Any) -> None:
    tensors = [*module.parameters(), *module.buffers()]
    if any(tensor.is_meta for tensor in tensors):
        raise ModelError(
            f"{source} returned a module on the device 'meta', whose weights hold no numbers. Build it on "
            "the CPU, and load its weights."
        )
    if any("quantized" in type(part).__module__ for part in module.modules()) or any(
        tensor.is_quantized for tensor in tensors
    ):
        raise ModelError(
            f"{source} returned a module that torch has quantised, which cannot be exported. Return the "
            "module in floats, and quantise the ONNX file (onnxruntime.quantization), or send int8 or q4."
        )
