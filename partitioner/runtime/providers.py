"""Execution providers: what the runtime computes with, made sure of before anything relies on it.

The runtime leaves a provider out without a word when its libraries do not load, and computes on the CPU
instead; here that is an error, since whoever asks for a GPU pays for one.
"""

import contextlib
import ctypes
import io
import logging
import os
import re
from functools import cache
from itertools import filterfalse
from pathlib import Path
from typing import Any

import numpy as np

from partitioner.common.defaults import DEFAULT_PROVIDER
from partitioner.runtime.failures import Failure
from partitioner.runtime.silent_runtime import onnxruntime
from protos.errors import UsageError

CUDA = "CUDAExecutionProvider"
RECORD_PLACES = ("session.record_ep_graph_assignment_info", "1")
"""The option of a session of which `slow_on_cpu` is asked."""

_log = logging.getLogger(__name__)

_GPU_WANTED = (
    "For an NVIDIA GPU: pip uninstall onnxruntime, then pip install 'onnxruntime-gpu[cuda,cudnn]'."
)
_DRIVER = "nvidia-smi shows what the driver sees, and who takes the GPU's memory."
_OPTIONS: dict[str, dict[str, str]] = {
    # TF32 keeps 10 bits of 23. It is twice as fast, but a tail in the cloud has to answer as one on the edge.
    CUDA: {"use_tf32": "0"},
}
_MODEL = re.compile(r"^Model:[ \t]*(.*\S)", re.MULTILINE)
_CUDA_FAILURE = re.compile(r"CUDA failure \d+: ([^;]+)")
_SLOW = re.compile("Conv|MatMul|Gemm|Attention|LSTM|GRU|RNN|Einsum|Norm|Pool|Resize")
_FATAL = 4
_GPUS = Path("/proc/driver/nvidia/gpus")
_CONVOLUTION = bytes(2 * 2 * 3 * 3 * 4)
_BIAS = bytes(2 * 4)
_TRIAL = (
    b'\x08\x08:\x87\x02\n\x12\n\x01x\n\x01w\n\x01b\x12\x01y"\x04Conv\x12\x01g*\xa0\x01\x08\x02\x08\x02\x08\x03\x08\x03\x10\x01B\x01wJ\x90\x01'
    + _CONVOLUTION
    + b"*\x11\x08\x02\x10\x01B\x01bJ\x08"
    + _BIAS
    + b"Z\x1b\n\x01x\x12\x16\n\x14\x08\x01\x12\x10\n\x02\x08\x01\n\x02\x08\x02\n\x02\x08\x03\n\x02\x08\x03"
    b"b\x1b\n\x01y\x12\x16\n\x14\x08\x01\x12\x10\n\x02\x08\x01\n\x02\x08\x02\n\x02\x08\x01\n\x02\x08\x01B\x04\n\x00\x10\x10"
)
"""An ONNX model: x, of [1, 2, 3, 3], under a convolution of zeros and its bias.

On a GPU that takes cuDNN, of which a part may be damaged or of another version; without a bias it would not.
"""
_CUDNN = "libcudnn.so.9"
_OPENED_LATE = ("libcuda.so.1", _CUDNN)
"""What CUDA needs beside what `preload_dlls` loads: the driver, and what is opened when it has to be."""


@cache
def check_provider(provider: str) -> None:
    """Start a provider, once a process; UsageError when this runtime has none, or it does not start."""
    found = onnxruntime.get_available_providers()
    if provider not in found:
        hint = f" {_GPU_WANTED}" if CUDA not in found and "cuda" in provider.lower() else ""
        raise UsageError(
            f"this ONNX Runtime has no provider {provider!r}. It has: {', '.join(found)}.{hint}"
        )
    if provider == DEFAULT_PROVIDER:
        return
    missing = _load_cuda() if provider == CUDA else ()
    onnxruntime.set_default_logger_severity(_FATAL)  # what it would print is raised
    try:
        _try(provider)
    except Exception as error:
        why = _why(error, missing) if provider == CUDA else f"{Failure.of(error).said}."
        raise UsageError(f"the provider {provider!r} does not start here: {why}") from error
    if provider == CUDA and not _loads(_CUDNN):
        _log.warning("%s cannot be loaded: convolutions run without it. %s", _CUDNN, _GPU_WANTED)


def _why(error: Exception, missing: tuple[str, ...]) -> str:
    """Return why CUDA does not start, and what to do: where the driver refuses, no package is of help."""
    if refused := _CUDA_FAILURE.search(str(error)):
        return f"{refused[1].strip()}. {_DRIVER}"
    missing = (*missing, *filterfalse(_loads, _OPENED_LATE))
    why = f"{', '.join(missing)} cannot be loaded" if missing else Failure.of(error).said
    return f"{why}. {_GPU_WANTED} {_DRIVER}"


def _try(provider: str) -> None:
    """Compute once with a provider; errors are the runtime's own, RuntimeError where the CPU computes."""
    settings = onnxruntime.SessionOptions()
    settings.log_severity_level = _FATAL
    settings.add_session_config_entry(*RECORD_PLACES)
    session = open_with(provider, _TRIAL, settings)
    if slow_on_cpu(session, provider):
        raise RuntimeError("it computes no convolution, and leaves it to the CPU")
    session.run(None, {"x": np.zeros((1, 2, 3, 3), np.float32)})


def _load_cuda() -> tuple[str, ...]:
    """Load the libraries that came by pip, where the system's loader does not look; return what failed."""
    with contextlib.redirect_stdout(io.StringIO()) as told:
        onnxruntime.preload_dlls()
    failed = re.findall(r"Failed to load (\S+): ", told.getvalue())
    return tuple(dict.fromkeys(Path(name).name for name in failed))


def _loads(library: str) -> bool:
    try:
        ctypes.CDLL(library)
    except OSError:
        return False
    return True


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


def slow_on_cpu(session: Any, provider: str) -> tuple[str, ...]:
    """Return the kinds of operators that take the time of a model and that `provider` leaves to the CPU.

    Those that compute shapes run there on purpose. Empty before 1.24, where the runtime does not tell.
    """
    tell = getattr(session, "get_provider_graph_assignment_info", tuple)
    left = {
        node.op_type for part in tell() if part.ep_name != provider for node in part.get_nodes()
    }
    return tuple(sorted(filter(_SLOW.search, left)))


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
