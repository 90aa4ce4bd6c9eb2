"""Inference messages as bytes, with the tensors' own bytes spliced in and out.

`raw_input_contents` and `raw_output_contents` are the last fields of their messages. So a message is
a protobuf header followed by the tensors, each behind a tag and a length, and neither side needs to
let protobuf copy them: the writer joins once, the reader takes views. Any protobuf implementation
reads what is written here, and what any of them writes is read here.
"""

from collections.abc import Sequence

from google.protobuf.message import DecodeError

from protos.errors import TensorError
from protos.inference_pb2 import ModelInferRequest, ModelInferResponse
from protos.tensors import Buffer

_LENGTH_DELIMITED = 2
_REQUEST_RAW_FIELD = 7
_RESPONSE_RAW_FIELD = 6
_STREAM_ANSWER_FIELD = 2


def encode_request(header: ModelInferRequest, tensors: Sequence[Buffer]) -> bytes:
    """Return the bytes of `header` with `tensors` as its raw_input_contents."""
    return b"".join(_parts(header.SerializeToString(), _REQUEST_RAW_FIELD, tensors))


def decode_request(data: bytes) -> tuple[ModelInferRequest, list[memoryview]]:
    """Return the header and views of the raw_input_contents; raises TensorError on broken bytes."""
    header, tensors = _split(data, _REQUEST_RAW_FIELD)
    try:
        return ModelInferRequest.FromString(header), tensors
    except DecodeError as error:
        raise _broken(error) from error


def encode_response(header: ModelInferResponse, tensors: Sequence[Buffer]) -> bytes:
    """Return the bytes of `header` with `tensors` as its raw_output_contents."""
    return b"".join(_parts(header.SerializeToString(), _RESPONSE_RAW_FIELD, tensors))


def decode_response(data: Buffer) -> tuple[ModelInferResponse, list[memoryview]]:
    """Return the header and views of the raw_output_contents; raises TensorError on broken bytes."""
    header, tensors = _split(data, _RESPONSE_RAW_FIELD)
    try:
        return ModelInferResponse.FromString(header), tensors
    except DecodeError as error:
        raise _broken(error) from error


def encode_stream_response(
    header: ModelInferResponse, tensors: Sequence[Buffer], error_message: str = ""
) -> bytes:
    """Return the bytes of a ModelStreamInferResponse around the answer, or the error, of `header.id`."""
    parts = _parts(header.SerializeToString(), _RESPONSE_RAW_FIELD, tensors)
    size = sum(len(part) for part in parts)
    prefix = _tag(_STREAM_ANSWER_FIELD) + _varint(size)
    if error_message:
        text = error_message.encode()
        prefix = _tag(1) + _varint(len(text)) + text + prefix
    return b"".join([prefix, *parts])


def decode_stream_response(data: bytes) -> tuple[str, ModelInferResponse, list[memoryview]]:
    """Return error message (empty: none), header and views of the raw_output_contents."""
    rest, answers = _split(data, _STREAM_ANSWER_FIELD)
    _, messages = _split(rest, 1)
    try:
        message = bytes(messages[-1]).decode() if messages else ""
    except UnicodeDecodeError as error:
        raise _broken(error) from error
    header, tensors = decode_response(answers[-1]) if answers else (ModelInferResponse(), [])
    return message, header, tensors


def _parts(header: bytes, field: int, tensors: Sequence[Buffer]) -> list[Buffer]:
    parts: list[Buffer] = [header]
    for tensor in tensors:
        parts += (_tag(field) + _varint(len(tensor)), tensor)
    return parts


def _split(data: Buffer, field: int) -> tuple[bytes, list[memoryview]]:
    """Take every length-delimited `field` out of a message; return the rest and the views."""
    view = memoryview(data)
    rest: list[memoryview] = []
    taken: list[memoryview] = []
    at = 0
    while at < len(view):
        start = at
        key, at = _read_varint(view, at)
        kind = key & 7
        if kind == _LENGTH_DELIMITED:
            length, body = _read_varint(view, at)
            at = body + length
            if key >> 3 == field and at <= len(view):
                taken.append(view[body:at])
                continue
        elif kind == 0:
            _, at = _read_varint(view, at)
        elif kind in (1, 5):
            at += 8 if kind == 1 else 4
        else:
            raise _broken(f"wire type {kind} at byte {start}")
        if at > len(view):
            raise _broken(f"field {key >> 3} ends {at - len(view)} bytes after the message")
        rest.append(view[start:at])
    return b"".join(rest), taken


def _read_varint(view: memoryview, at: int) -> tuple[int, int]:
    value = shift = 0
    while at < len(view) and shift < 64:
        byte = view[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7
    raise _broken(f"no end of the number at byte {at}")


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def _tag(field: int) -> bytes:
    return _varint(field << 3 | _LENGTH_DELIMITED)


def _broken(why: object) -> TensorError:
    return TensorError(
        f"the bytes are no inference message: {why}. Check that both sides speak OIP."
    )
