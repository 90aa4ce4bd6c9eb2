"""The checksum of a message: TCP's own lets one damaged packet in some thousand through.

It covers the name of the model, the id, and every tensor's name, type, shape, codec and bytes, so that
neither a value nor whose it is can change on the way. It tells accidents, not attacks; those are TLS's.
The CRC-32 is that of zlib, computed by ISA-L in a quarter of the time: both sides read every byte for it.
"""

from collections.abc import Iterable, Sequence

from isal import isal_zlib

from protos.errors import FaultError
from protos.inference_pb2 import ModelInferRequest, ModelInferResponse
from protos.names import PARAM_CHECKSUM, PARAM_CODEC
from protos.tensors import Buffer

Message = ModelInferRequest | ModelInferResponse


def seal(message: Message, buffers: Sequence[Buffer]) -> None:
    """Write the checksum of a message that is complete but for its tensors' bytes."""
    message.parameters[PARAM_CHECKSUM].int64_param = _checksum(message, buffers)


def check_seal(message: Message, buffers: Sequence[Buffer]) -> None:
    """Raise FaultError when a message is not what its checksum says; one without any is taken as it is."""
    if PARAM_CHECKSUM not in message.parameters:
        return
    if message.parameters[PARAM_CHECKSUM].int64_param != _checksum(message, buffers):
        raise FaultError(
            "the message was damaged on its way: its checksum is another. Send it again; if this "
            "happens often, look for a faulty cable, proxy or memory, or use TLS."
        )


def _checksum(message: Message, buffers: Sequence[Buffer]) -> int:
    tensors: Iterable[ModelInferRequest.InferInputTensor | ModelInferResponse.InferOutputTensor]
    tensors = message.inputs if isinstance(message, ModelInferRequest) else message.outputs
    words = [message.model_name, message.id]
    for tensor in tensors:
        codec = ""
        if PARAM_CODEC in tensor.parameters:
            codec = tensor.parameters[PARAM_CODEC].string_param
        words += [tensor.name, tensor.datatype, codec, *map(str, tensor.shape)]
    found = isal_zlib.crc32("\n".join(words).encode())
    for buffer in buffers:
        found = isal_zlib.crc32(buffer, found)
    return found
