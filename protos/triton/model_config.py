"""How a model is served, in the words of Triton's ModelConfig, which its clients ask for first."""

from protos import inference_pb2 as oip
from protos.serving.answers import ServedModel
from protos.tensors import TensorSpec

BACKEND = "onnxruntime"


def model_config(name: str, model: ServedModel) -> oip.ModelConfig:
    """Return the configuration of a model that was asked for as `name`."""
    return oip.ModelConfig(
        name=name,
        platform=model.platform,
        backend=BACKEND,
        version_policy=oip.ModelVersionPolicy(all=oip.ModelVersionPolicy.All()),
        input=[_input(spec) for spec in model.inputs],
        output=[_output(spec) for spec in model.outputs],
    )


def _input(spec: TensorSpec) -> oip.ModelInput:
    return oip.ModelInput(name=spec.name, data_type=_type(spec), dims=spec.oip_shape)


def _output(spec: TensorSpec) -> oip.ModelOutput:
    return oip.ModelOutput(name=spec.name, data_type=_type(spec), dims=spec.oip_shape)


def _type(spec: TensorSpec) -> oip.DataType:
    found: oip.DataType = getattr(oip, f"TYPE_{spec.oip_datatype}")
    return found
