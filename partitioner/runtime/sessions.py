"""Running a graph: the one place that knows how a session of ONNX Runtime is made."""

import contextlib
import logging
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from partitioner.common.defaults import DEFAULT_PROVIDER, DEFAULT_THREADS, MAX_THREADS
from partitioner.common.memory import release_freed_pages
from partitioner.common.units import plural
from partitioner.runtime.external_data import external_files
from partitioner.runtime.failures import Failure
from partitioner.runtime.interruption import InterruptedRunError, Interruption
from partitioner.runtime.providers import RECORD_PLACES, check_provider, open_with, slow_on_cpu
from partitioner.runtime.silent_runtime import onnxruntime
from protos.errors import BundleError, FaultError, UsageError
from protos.tensors import Array, Buffer, TensorSpec, native

_log = logging.getLogger(__name__)

_SAME_NUMBERS = {
    # Where the runtime fuses weights of 4 bits, activations get 8 bits. What it fuses differs between a model
    # and its parts, by 1 % of the output. With 1 they stay float32 everywhere.
    "session.qdq_matmulnbits_accuracy_level": "1",
}
"""Options without which a part computes other numbers than the whole."""


@dataclass(frozen=True)
class RuntimeOptions:
    """How sessions run: intra-op threads (1 suits a shared machine best) and the provider.

    Without an `arena` a session keeps no memory between runs but its weights.
    """

    threads: int = DEFAULT_THREADS
    provider: str = DEFAULT_PROVIDER
    arena: bool = True

    def __post_init__(self) -> None:
        if not 1 <= self.threads <= MAX_THREADS:
            raise UsageError(
                f"{plural(self.threads, 'thread')} cannot compute. Give 1 to {MAX_THREADS}."
            )
        check_provider(self.provider)


class Stage:
    """A head, a tail or the whole model, ready to run. Safe to run from several threads.

    Values that are inputs and outputs at once pass through; a stage without a graph passes all.
    """

    def __init__(
        self, session: Any, inputs: tuple[TensorSpec, ...], outputs: tuple[TensorSpec, ...]
    ) -> None:
        self.inputs = inputs
        self.outputs = outputs
        self._session = session
        self._wanted = {node.name for node in session.get_inputs()} if session else set()
        names = {spec.name for spec in inputs}
        self._computed = [spec.name for spec in outputs if spec.name not in names]

    def run(
        self, feeds: Mapping[str, Array], interruption: Interruption | None = None
    ) -> dict[str, Array]:
        """Compute the outputs from `feeds`, which holds at least every input, by name.

        Raises FaultError when the runtime fails, and InterruptedRunError when the run was asked to end;
        types and shapes are the caller's to check.
        """
        results = {spec.name: feeds[spec.name] for spec in self.outputs if spec.name in feeds}
        if self._computed:
            needed = {name: native(feeds[name]) for name in self._wanted}
            try:
                options = None if interruption is None else interruption.run_options
                values = self._session.run(self._computed, needed, options)
            except Exception as error:
                if interruption is not None and interruption.is_asked:
                    raise InterruptedRunError from error
                failure = Failure.of(error)
                raise FaultError(
                    f"the runtime failed on this input: {failure.said}. {failure.advice_on_running}"
                ) from error
            results.update(zip(self._computed, values, strict=True))
        return {spec.name: results[spec.name] for spec in self.outputs}


@dataclass(frozen=True)
class ModelFile:
    """An ONNX file in memory: its name for messages, its bytes, and those of its external data by name.

    With `optimize` unset, the runtime leaves the graph as it is: it cannot load some that it has rewritten.
    The runtime takes copies of what it needs, so that none of them has to outlive the opening of a session.
    """

    name: str
    graph: Buffer
    external: Mapping[str, Buffer] = field(default_factory=dict)
    optimize: bool = True
    remake: str = "import the model again"
    """How such a graph is made anew, for messages."""


def open_session(
    model: Path | ModelFile,
    options: RuntimeOptions,
    *,
    optimize: bool = True,
    shapes_first: bool = False,
    profile_to: Path | None = None,
) -> Any:
    """Return the runtime's session of one ONNX file, on the disk or in memory; errors are the runtime's own.

    With `shapes_first`, the operator Shape runs as soon as its value is there, so that it keeps none alive.
    With `profile_to`, the runtime's profiler writes to a file that starts with that path.
    """
    optimize = optimize and (isinstance(model, Path) or model.optimize)
    settings = partial(
        _settings, options, optimize=optimize, shapes_first=shapes_first, profile_to=profile_to
    )
    if isinstance(model, Path):
        return open_with(options.provider, str(model), settings())
    if not model.external:
        return open_with(options.provider, bytes(model.graph), settings())
    try:
        return _open_in_memory(model, options, settings())
    except Exception:  # noqa: BLE001 - whatever it is, the second way says so as well
        return _open_copied(model, options, settings())


def _settings(
    options: RuntimeOptions, *, optimize: bool, shapes_first: bool, profile_to: Path | None
) -> Any:
    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads = options.threads
    settings.inter_op_num_threads = 1
    settings.log_severity_level = 4
    settings.enable_cpu_mem_arena = options.arena
    # Threads that spin between two frames take the core from whoever shares it.
    settings.add_session_config_entry("session.intra_op.allow_spinning", "0")
    for key, value in _SAME_NUMBERS.items():
        settings.add_session_config_entry(key, value)
    if options.provider != DEFAULT_PROVIDER:
        settings.add_session_config_entry(*RECORD_PLACES)
    if profile_to:
        settings.enable_profiling = True
        settings.profile_file_prefix = str(profile_to)
    if shapes_first:
        settings.execution_order = onnxruntime.ExecutionOrder.PRIORITY_BASED
    if not optimize:
        settings.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    return settings


def _open_in_memory(model: ModelFile, options: RuntimeOptions, settings: Any) -> Any:
    names, data = list(model.external), list(model.external.values())
    settings.add_external_initializers_from_files_in_memory(names, data, list(map(len, data)))
    return open_with(options.provider, bytes(model.graph), settings)


def _open_copied(model: ModelFile, options: RuntimeOptions, settings: Any) -> Any:
    """Open a model from files of its own: the runtime looks for the weights of branches nowhere else."""
    with tempfile.TemporaryDirectory(prefix="splitpoint-") as folder:
        for name, data in {**model.external, "model.onnx": model.graph}.items():
            (Path(folder) / name).write_bytes(data)
        return open_with(options.provider, str(Path(folder) / "model.onnx"), settings)


def open_bundled(
    model: ModelFile, options: RuntimeOptions, *, profile_to: Path | None = None
) -> Any:
    """Return the runtime's session of a graph of a bundle.

    Raises BundleError when the runtime refuses it, or where it wants to read files that are not the bundle's.
    """
    _check_external(model)
    try:
        return open_session(model, options, profile_to=profile_to)
    except Exception as error:
        failure = Failure.of(error)
        advice = failure.advice_on_opening(model.remake)
        raise BundleError(
            f"the runtime cannot load {model.name}: {failure.said}. {advice}"
        ) from error


def _check_external(model: ModelFile) -> None:
    try:
        foreign = sorted(external_files(model.graph) - set(model.external))
    except ValueError as error:
        raise BundleError(f"{model.name} is damaged: {error}. {_remade(model)}.") from error
    if foreign:
        raise BundleError(
            f"{model.name} keeps tensors in {foreign[0]!r}, which is no file of the bundle, and is refused. "
            f"{_remade(model)}, and do not trust where this one came from."
        )


def _remade(model: ModelFile) -> str:
    return model.remake[:1].upper() + model.remake[1:]


def open_stage(
    graph: ModelFile | None,
    inputs: tuple[TensorSpec, ...],
    outputs: tuple[TensorSpec, ...],
    options: RuntimeOptions,
) -> Stage:
    """Load a graph of a bundle; BundleError when the runtime refuses it.

    A stage on another provider than the CPU has run once when it is returned.
    """
    if graph is None:
        return Stage(None, inputs, outputs)
    try:
        session = open_bundled(graph, options)
    finally:
        release_freed_pages()  # loading takes the weights several times over
    stage = Stage(session, inputs, outputs)
    if options.provider != DEFAULT_PROVIDER:
        if slow := slow_on_cpu(session, options.provider):
            _tell_of_cpu(options.provider, slow)
        # On a GPU the first frame of a session takes 0.1 to 0.6 s: kernels are loaded and chosen with it.
        with contextlib.suppress(FaultError):  # made-up values may be none that the model takes
            stage.run(random_feeds(inputs, np.random.default_rng(0)))
    return stage


@cache
def _tell_of_cpu(provider: str, operators: tuple[str, ...]) -> None:
    """Say once that a model computes slowly; of its parts each would say the same."""
    _log.warning(
        "%s does not compute %s: they run on the CPU, with copies to it and back. "
        "A model in float32 or float16 may have none of them.",
        provider,
        ", ".join(operators),
    )


def open_weighed(open_stage: Callable[[], Stage]) -> tuple[Stage, int]:
    """Open a stage; return it, and the resident bytes that the process has more for it.

    What ends meanwhile in other threads gives memory back, so that a load may seem to take less.
    """
    process = psutil.Process()
    release_freed_pages()  # what was freed before would hide what this takes
    before = process.memory_info().rss
    stage = open_stage()
    return stage, max(0, process.memory_info().rss - before)


def random_feeds(
    inputs: tuple[TensorSpec, ...], rng: np.random.Generator, batch: int = 1
) -> dict[str, Array]:
    """Return inputs to time or to compare with: in the ranges of their specs, else normal floats, and small
    integers that index safely."""
    return {spec.name: _random(spec, rng, batch) for spec in inputs}


def _random(spec: TensorSpec, rng: np.random.Generator, batch: int) -> Array:
    dtype, shape = np.dtype(spec.dtype), spec.sized(batch)
    if spec.drawn:
        low, high = spec.drawn
        values = (
            rng.uniform(low, high, shape)
            if dtype.kind == "f"
            else rng.integers(int(low), int(high), shape)
        )
        return np.asarray(values).astype(dtype)
    if dtype.kind == "f":
        return np.asarray(rng.standard_normal(shape)).astype(dtype)
    most = 256 if dtype == np.uint8 and len(shape) == 4 else 2
    return np.asarray(rng.integers(0, most, shape)).astype(dtype)
