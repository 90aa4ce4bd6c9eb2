"""Configurations of exported models in Triton's words: batching, backends, and ensembles that decode."""

from collections.abc import Mapping, Sequence

from google.protobuf import text_format

from protos import inference_pb2 as oip
from protos.names import PARAM_BUNDLE_DIGEST, PARAM_CALIBRATION_DIGEST
from protos.serving.answers import ServedModel
from protos.tensors import TensorSpec
from protos.triton.model_config import UNBATCHED, Batching, has_batch_first, model_config

ONNXRUNTIME, PYTHON = "onnxruntime", "python"
BACKENDS = (ONNXRUNTIME, PYTHON)
PARAM_THREADS = "intra_op_thread_count"
"""The backend `onnxruntime` reads it, and so does the model of the backend `python`."""
_LEAVE_AS_IT_IS = 2


def why_unbatched(inputs: Sequence[TensorSpec], outputs: Sequence[TensorSpec]) -> str:
    """Return why Triton could not batch these tensors, whose batch it wants first; empty where it can."""
    model = _as_served("", inputs, outputs)
    if not has_batch_first(model):
        return "not all of its tensors have their batch first"
    alone = [spec.name for spec in (*inputs, *outputs) if len(spec.shape) == 1]
    return f"{', '.join(alone)} has no axis beside its batch" if alone else ""


def backend_config(
    name: str,
    inputs: Sequence[TensorSpec],
    outputs: Sequence[TensorSpec],
    *,
    backend: str,
    threads: int,
    parameters: Mapping[str, str],
    max_batch_size: int = 0,
    queues: bool = True,
    optimize: bool = True,
) -> oip.ModelConfig:
    """Return the configuration of a model that a backend computes.

    `max_batch_size`: rows of several requests together, 0: batches are as they come. `queues`: whether it
    waits for rows of others itself. `optimize`: whether the runtime may rewrite the graph.
    """
    batching = UNBATCHED
    if max_batch_size:
        batching = Batching(max_batch_size, oip.ModelDynamicBatching() if queues else None)
    config = model_config(name, _as_served(name, inputs, outputs), batching)
    config.backend = backend
    if backend == PYTHON:
        config.ClearField("platform")
    if not optimize:
        config.optimization.graph.level = _LEAVE_AS_IT_IS
    _note(config, {PARAM_THREADS: str(threads), **parameters})
    return config


def ensemble_config(
    name: str,
    inputs: Sequence[TensorSpec],
    outputs: Sequence[TensorSpec],
    decoder: oip.ModelConfig,
    tail: oip.ModelConfig,
    parameters: Mapping[str, str],
    version: int,
) -> oip.ModelConfig:
    """Return the configuration of an ensemble: a decoder, and then a tail that others use as well.

    Both are of this very version: while Triton loads the models of another one, those of before go on.
    """
    batching = Batching(tail.max_batch_size)
    config = model_config(name, _as_served(name, inputs, outputs), batching)
    config.platform, config.backend = "ensemble", ""
    for model in (decoder, tail):
        step = config.ensemble_scheduling.step.add(model_name=model.name, model_version=version)
        step.input_map.update({each.name: each.name for each in model.input})
        step.output_map.update({each.name: each.name for each in model.output})
    _note(config, parameters)
    return config


def identity_of(bundle_digest: str, calibration_mark: str = "") -> dict[str, str]:
    """Return the parameters by which an edge knows which bundle, and which calibration, a model is of."""
    found = {PARAM_BUNDLE_DIGEST: bundle_digest}
    if calibration_mark:
        found[PARAM_CALIBRATION_DIGEST] = calibration_mark
    return found


def config_text(config: oip.ModelConfig) -> str:
    """Return the text of a config.pbtxt."""
    return str(text_format.MessageToString(config))


def _as_served(
    name: str, inputs: Sequence[TensorSpec], outputs: Sequence[TensorSpec]
) -> ServedModel:
    return ServedModel(name=name, inputs=tuple(inputs), outputs=tuple(outputs))


def _note(config: oip.ModelConfig, parameters: Mapping[str, str]) -> None:
    for key, value in parameters.items():
        config.parameters[key].string_value = value
