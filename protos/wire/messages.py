"""Inference requests and answers: named arrays on one side, headers and encoded bytes on the other."""

import math
from collections.abc import Mapping, Sequence

import numpy as np

from protos.codecs.base import Codec
from protos.codecs.calibration import Calibration
from protos.codecs.plain_tensors import encode_plain, plain_frontier
from protos.codecs.registry import RAW, codec_for, get_codec, is_calibrated
from protos.errors import CalibrationError, TensorError, TooLargeError, plural
from protos.inference_pb2 import InferParameter, ModelInferRequest, ModelInferResponse
from protos.names import (
    PARAM_BUNDLE_DIGEST,
    PARAM_CALIBRATION_DIGEST,
    PARAM_CODEC,
    plain_model_name,
)
from protos.rpc.message_limits import DEFAULT_MAX_MESSAGE_BYTES
from protos.rpc.status import OTHER_CALIBRATION
from protos.tensors import Array, Buffer, TensorSpec, dtype_of, from_contents, from_raw
from protos.wire.framing import encode_request


def pack_request(
    model: str,
    frame_id: str,
    values: Mapping[str, Array],
    frontier: Sequence[TensorSpec],
    codec: Codec = RAW,
    bundle_digest: str = "",
    calibration: Calibration | None = None,
) -> tuple[ModelInferRequest, list[Buffer]]:
    """Return the header and the encoded bytes of a request that carries `frontier`, in its order.

    What `codec` does not take travels raw; `calibration` is the one that `codec` was made with.
    """
    header = ModelInferRequest(model_name=model, id=frame_id)
    if bundle_digest:
        header.parameters[PARAM_BUNDLE_DIGEST].string_param = bundle_digest
    if calibration is not None and is_calibrated(codec.name):
        header.parameters[PARAM_CALIBRATION_DIGEST].string_param = calibration.mark
    buffers: list[Buffer] = []
    for spec in frontier:
        array = values[spec.name]
        chosen, data = encode_value(codec, spec, array)
        tensor = header.inputs.add(name=spec.name, datatype=spec.oip_datatype, shape=array.shape)
        if chosen is not RAW:
            tensor.parameters[PARAM_CODEC].string_param = chosen.name
        buffers.append(data)
    return header, buffers


def pack_plain_request(
    bundle: str,
    cut: str,
    frame_id: str,
    values: Mapping[str, Array],
    frontier: Sequence[TensorSpec],
    codec: Codec = RAW,
    version: str = "",
) -> tuple[ModelInferRequest, list[Buffer]]:
    """Return the header and the bytes of a request that a standard server understands, see plain_tensors.py.

    It goes to the model that takes `codec`; to the tail itself where a value is one that `codec` cannot keep.
    `version`: of the model, empty: the server's choice.
    """
    codec, arrays = encode_plain(codec, frontier, values)
    name = plain_model_name(bundle, cut, codec.name)
    header = ModelInferRequest(model_name=name, model_version=version, id=frame_id)
    buffers: list[Buffer] = []
    for spec, array in zip(plain_frontier(codec, frontier), arrays, strict=True):
        header.inputs.add(name=spec.name, datatype=spec.oip_datatype, shape=array.shape)
        buffers.append(RAW.encode(array, spec.name))
    return header, buffers


def plain_request_bytes(bundle: str, cut: str, frontier: Sequence[TensorSpec], codec: Codec) -> int:
    """Return the size of such a request for one sample, with its header."""
    name = plain_model_name(bundle, cut, codec.name)
    header = ModelInferRequest(model_name=name, model_version="100000000", id="1000")
    sent = plain_frontier(codec, frontier)
    for spec in sent:
        header.inputs.add(name=spec.name, datatype=spec.oip_datatype, shape=spec.sized())
    return len(encode_request(header, [b""] * len(sent))) + sum(spec.nbytes() for spec in sent)


def encode_value(codec: Codec, spec: TensorSpec, array: Array) -> tuple[Codec, Buffer]:
    """Return the codec that one value of a frontier travels by, `codec` or raw, and its bytes."""
    chosen = codec_for(codec, spec)
    try:
        return chosen, chosen.encode(array, spec.name)
    except TensorError:
        return RAW, RAW.encode(array, spec.name)


def unpack_request(
    header: ModelInferRequest,
    raw: Sequence[Buffer],
    wanted: Sequence[TensorSpec],
    calibration: Calibration | None = None,
    max_decoded_bytes: int = DEFAULT_MAX_MESSAGE_BYTES,
) -> dict[str, Array]:
    """Return the arrays of a request by name, decoded, and read-only views where that is possible.

    Raises TensorError unless there is exactly one tensor of the right type and shape for each of
    `wanted`; sizes are compared before anything is allocated. Raises CalibrationError when the sender's
    calibration is not `calibration`, TooLargeError when several samples would unfold to more than
    `max_decoded_bytes`: the batch is the sender's word, and some hundred bytes can stand for any.
    """
    check_calibration(header, calibration)
    specs = {spec.name: spec for spec in wanted}
    _check_names([tensor.name for tensor in header.inputs], specs, header.model_name)
    if raw and len(raw) != len(header.inputs):
        raise TensorError(
            f"{plural(len(header.inputs), 'input')} came with {len(raw)} raw_input_contents. "
            "Send one for each input, in the same order, or none."
        )
    for tensor in header.inputs:
        specs[tensor.name].check(dtype_of(tensor.datatype, tensor.name), tensor.shape)
    _check_decoded(header, specs, max_decoded_bytes)
    values: dict[str, Array] = {}
    for position, tensor in enumerate(header.inputs):
        dtype, shape = dtype_of(tensor.datatype, tensor.name), tuple(tensor.shape)
        if raw:
            codec = get_codec(_codec_of(tensor), calibration)
            values[tensor.name] = codec.decode(raw[position], dtype, shape, tensor.name)
        else:
            values[tensor.name] = from_contents(
                tensor.contents, tensor.datatype, shape, tensor.name
            )
    _check_batch(values, specs)
    return values


def check_calibration(header: ModelInferRequest, calibration: Calibration | None) -> None:
    """Raise CalibrationError if the sender has encoded with another calibration than ours."""
    if PARAM_CALIBRATION_DIGEST not in header.parameters:
        return
    theirs = header.parameters[PARAM_CALIBRATION_DIGEST].string_param
    ours = calibration.mark if calibration is not None else ""
    if theirs != ours:
        found = f"the server's {ours}" if ours else "the server's bundle has none"
        raise CalibrationError(
            f"{OTHER_CALIBRATION} has the digest {theirs[:64]}, and {found}. Copy the bundle's "
            "calibration.npz from one side to the other."
        )


def pack_response(
    model: str,
    frame_id: str,
    values: Mapping[str, Array],
    outputs: Sequence[TensorSpec],
    version: str = "1",
) -> tuple[ModelInferResponse, list[Buffer]]:
    """Return the header and the raw bytes of an answer that carries `outputs`, in their order."""
    header = ModelInferResponse(model_name=model, id=frame_id, model_version=version)
    buffers: list[Buffer] = []
    for spec in outputs:
        array = values[spec.name]
        header.outputs.add(name=spec.name, datatype=spec.oip_datatype, shape=array.shape)
        buffers.append(RAW.encode(array, spec.name))
    return header, buffers


def unpack_response(header: ModelInferResponse, raw: Sequence[Buffer]) -> dict[str, Array]:
    """Return the arrays of an answer by name; views of `raw`, where they came so.

    Raises TensorError if they disagree.
    """
    if not raw:  # some standard servers answer in typed contents
        return {
            tensor.name: from_contents(
                tensor.contents, tensor.datatype, tuple(tensor.shape), tensor.name
            )
            for tensor in header.outputs
        }
    if len(raw) != len(header.outputs):
        raise TensorError(
            f"the answer announces {plural(len(header.outputs), 'output')} and brings {len(raw)}. "
            "Check that the server speaks OIP with raw_output_contents."
        )
    return {
        tensor.name: from_raw(
            data, dtype_of(tensor.datatype, tensor.name), tensor.shape, tensor.name
        )
        for tensor, data in zip(header.outputs, raw, strict=True)
    }


def integer_parameter(parameters: Mapping[str, InferParameter], key: str) -> int:
    """Return an integer parameter, 0 where it is absent."""
    return parameters[key].int64_param if key in parameters else 0


def _check_names(found: list[str], wanted: Mapping[str, TensorSpec], model: str) -> None:
    if sorted(found) != sorted(wanted):
        takes = ", ".join(f"{name} {spec}" for name, spec in wanted.items())
        raise TensorError(
            f"model {model!r} was sent the inputs {found}, but it takes exactly: {takes}."
        )


def _codec_of(tensor: ModelInferRequest.InferInputTensor) -> str:
    if PARAM_CODEC not in tensor.parameters:
        return RAW.name
    return tensor.parameters[PARAM_CODEC].string_param or RAW.name


def _check_decoded(header: ModelInferRequest, specs: Mapping[str, TensorSpec], most: int) -> None:
    coded = [tensor for tensor in header.inputs if _codec_of(tensor) != RAW.name]
    if not coded:
        return
    needed = sum(
        math.prod(tensor.shape) * np.dtype(specs[tensor.name].dtype).itemsize for tensor in coded
    )
    one_sample = sum(specs[tensor.name].nbytes() for tensor in coded)
    if needed > max(most, one_sample):
        raise TooLargeError(
            f"the inputs unfold to {plural(needed, 'byte')}, and this server takes {most:,}. Send fewer "
            "samples at a time, or start it with a larger --max-decoded (an edge: --max-message)."
        )


def _check_batch(values: Mapping[str, Array], specs: Mapping[str, TensorSpec]) -> None:
    batches = {
        name: values[name].shape[spec.shape.index(-1)]
        for name, spec in specs.items()
        if -1 in spec.shape
    }
    if len(set(batches.values())) > 1:
        sizes = ", ".join(f"{name}: {size}" for name, size in batches.items())
        raise TensorError(
            f"the inputs disagree on the batch size ({sizes}). Send one size for all."
        )
