"""How a model is served, in the words of Triton's ModelConfig, which its clients ask for first."""

from typing import NamedTuple

from protos import inference_pb2 as oip
from protos.serving.answers import ServedModel
from protos.tensors import BATCH_SIZE, TensorSpec

BACKEND = "onnxruntime"


class Batching(NamedTuple):
    """How many rows a server computes together, 0 where it leaves batches as they come, and how they wait."""

    max_batch_size: int
    rules: oip.ModelDynamicBatching | None = None


UNBATCHED = Batching(0)


def model_config(name: str, model: ServedModel, batching: Batching = UNBATCHED) -> oip.ModelConfig:
    """Return the configuration of a model that was asked for as `name`.

    In Triton's words, `dims` lack the batch where the server batches.
    """
    skipped = 1 if batching.max_batch_size else 0
    return oip.ModelConfig(
        name=name,
        platform=model.platform,
        backend=BACKEND,
        version_policy=oip.ModelVersionPolicy(all=oip.ModelVersionPolicy.All()),
        max_batch_size=batching.max_batch_size,
        dynamic_batching=batching.rules,
        input=[_input(spec, skipped) for spec in model.inputs],
        output=[_output(spec, skipped) for spec in model.outputs],
    )


def has_batch_first(model: ServedModel) -> bool:
    """Tell whether the first axis of all that a model takes and gives is its batch: Triton knows no other."""
    specs = (*model.inputs, *model.outputs)
    return all(spec.shape[:1] == (BATCH_SIZE,) for spec in specs)


def _input(spec: TensorSpec, skipped: int) -> oip.ModelInput:
    return oip.ModelInput(name=spec.name, data_type=_type(spec), dims=spec.oip_shape[skipped:])


def _output(spec: TensorSpec, skipped: int) -> oip.ModelOutput:
    return oip.ModelOutput(name=spec.name, data_type=_type(spec), dims=spec.oip_shape[skipped:])


def _type(spec: TensorSpec) -> oip.DataType:
    found: oip.DataType = getattr(oip, f"TYPE_{spec.oip_datatype}")
    return found
