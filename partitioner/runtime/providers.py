"""Execution providers: what the runtime computes with, made sure of before anything relies on it.

The runtime leaves a provider out without a word when its libraries do not load, and computes on the CPU
instead; here that is an error, since whoever asks for a GPU pays for one.
"""

import contextlib
import io
import os
import re
from functools import cache
from pathlib import Path
from typing import Any

import onnxruntime

from partitioner.common.defaults import DEFAULT_PROVIDER
from partitioner.runtime.failures import Failure
from protos.errors import UsageError

CUDA = "CUDAExecutionProvider"

_GPU_WANTED = (
    "For an NVIDIA GPU: pip uninstall onnxruntime, then pip install 'onnxruntime-gpu[cuda,cudnn]'."
)
_OPTIONS: dict[str, dict[str, str]] = {
    # TF32 keeps 10 bits of 23. It is twice as fast, but a tail in the cloud has to answer as one on the edge.
    CUDA: {"use_tf32": "0"},
}
_MODEL = re.compile(r"^Model:[ \t]*(.*\S)", re.MULTILINE)
_CUDA_FAILURE = re.compile(r"CUDA failure \d+: ([^;]+)")
_WARNING, _FATAL = 2, 4
_GPUS = Path("/proc/driver/nvidia/gpus")
_TRIAL = (
    b'\x08\x08:2\n\x0b\n\x01x\x12\x01y"\x03Neg\x12\x01gZ\x0f\n\x01x\x12\n\n\x08\x08\x01\x12\x04\n\x02\x08\x01'
    b"b\x0f\n\x01y\x12\n\n\x08\x08\x01\x12\x04\n\x02\x08\x01B\x04\n\x00\x10\x11"
)
"""An ONNX model: y = -x, one float32."""


@cache
def check_provider(provider: str) -> None:
    """Start a provider, once a process; UsageError when this runtime has none, or it does not start."""
    found = onnxruntime.get_available_providers()
    if provider not in found:
        hint = f" {_GPU_WANTED}" if provider == CUDA else ""
        raise UsageError(
            f"this ONNX Runtime has no provider {provider!r}. It has: {', '.join(found)}.{hint}"
        )
    if provider == DEFAULT_PROVIDER:
        return
    missing = _load_cuda() if provider == CUDA else ()
    onnxruntime.set_default_logger_severity(_FATAL)  # what it would print is raised
    try:
        open_with(provider, _TRIAL, onnxruntime.SessionOptions())
    except Exception as error:
        why = f"{', '.join(missing)} cannot be loaded" if missing else _plain(error)
        hint = f" {_GPU_WANTED} nvidia-smi shows what the driver sees." if provider == CUDA else ""
        raise UsageError(f"the provider {provider!r} does not start here: {why}.{hint}") from error
    finally:
        onnxruntime.set_default_logger_severity(_WARNING)  # as it is when nobody sets it


def _load_cuda() -> tuple[str, ...]:
    """Load the libraries that came by pip, where the system's loader does not look; return what failed."""
    with contextlib.redirect_stdout(io.StringIO()) as told:
        onnxruntime.preload_dlls()
    failed = re.findall(r"Failed to load (\S+): ", told.getvalue())
    return tuple(dict.fromkeys(Path(name).name for name in failed))


def _plain(error: Exception) -> str:
    """Return what the runtime says, without where in its sources it says so."""
    found = _CUDA_FAILURE.search(str(error))
    return found[1].strip() if found else Failure.of(error).said


def open_with(provider: str, model: str | bytes, settings: onnxruntime.SessionOptions) -> Any:
    """Return a session that computes with `provider`; errors are the runtime's own, RuntimeError else.

    Operators that the provider does not know run on the CPU, as the runtime does it.
    """
    session = onnxruntime.InferenceSession(
        model, settings, providers=[(provider, _OPTIONS.get(provider, {}))], enable_fallback=0
    )
    if provider not in session.get_providers():
        raise RuntimeError("its libraries did not load, and the runtime left it out")
    return session


def accelerator_of(provider: str) -> str:
    """Return the name of what a provider computes with beside the CPU; empty: nothing, or not known.

    On a machine with GPUs of several models all are named, with what chooses among them.
    """
    if provider != CUDA:
        return ""
    models = set()
    for told in _GPUS.glob("*/information"):
        with contextlib.suppress(OSError):
            models.update(_MODEL.findall(told.read_text(errors="replace")))
    chosen = os.environ.get("CUDA_VISIBLE_DEVICES", "")
    which = f" ({chosen})" if chosen and len(models) > 1 else ""
    return ", ".join(sorted(models)) + which
