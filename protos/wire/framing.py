"""Inference messages as bytes, with the tensors' own bytes spliced in and out.

`raw_input_contents` and `raw_output_contents` are the last fields of their messages. So a message is
a protobuf header followed by the tensors, each behind a tag and a length, and neither side needs to
let protobuf copy them: the writer joins once, the reader takes views. Any protobuf implementation
reads what is written here, and what any of them writes is read here.
"""

from collections.abc import Sequence

from google.protobuf.message import DecodeError

from protos.errors import TensorError, plural
from protos.inference_pb2 import ModelInferRequest, ModelInferResponse
from protos.tensors import Buffer

_LENGTH_DELIMITED = 2
_REQUEST_RAW_FIELD = 7
_RESPONSE_RAW_FIELD = 6
_STREAM_ANSWER_FIELD = 2
_UNKNOWN_FIELD = 1000

_MAX_FIELDS = 8192
_MAX_HEADER_BYTES = 4 << 20
"""Bounds of a sane message, checked while it is taken apart: a field of two bytes costs as much as any,
and a header unfolds to many times its size."""


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


def padding(size: int) -> bytes:
    """Return a message of at least `size` bytes that is an empty one to everybody.

    It is one field that no message of the protocol has, and readers of protobuf skip what they do not know.
    """
    return _tag(_UNKNOWN_FIELD) + _varint(size) + bytes(size)


def _parts(header: bytes, field: int, tensors: Sequence[Buffer]) -> list[Buffer]:
    parts: list[Buffer] = [header]
    for tensor in tensors:
        parts += (_tag(field) + _varint(len(tensor)), tensor)
    return parts


def _split(data: Buffer, field: int) -> tuple[bytes, list[memoryview]]:
    """Take every length-delimited `field` out of a message; return the rest and the views."""
    view = memoryview(data)
    rest = bytearray()
    taken: list[memoryview] = []
    at = kept_from = fields = 0
    while at < len(view):
        start = at
        number, at, body = _skip_field(view, at)
        if number == field and body is not None:
            rest += view[kept_from:start]
            taken.append(view[body:at])
            kept_from = at
        fields += 1
        if fields > _MAX_FIELDS:
            raise _broken(f"it has more than {_MAX_FIELDS} fields")
    rest += view[kept_from:]
    if len(rest) > _MAX_HEADER_BYTES:
        raise _broken(
            f"outside the raw contents it has {plural(len(rest), 'byte')}, and {_MAX_HEADER_BYTES:,} are "
            "allowed; large tensors travel in raw_input_contents"
        )
    return bytes(rest), taken


def _skip_field(view: memoryview, start: int) -> tuple[int, int, int | None]:
    """Return the number of the field at `start`, its end, and where its body starts if it is delimited."""
    left = len(view) - start
    if (
        view[start] & 0x87 == _LENGTH_DELIMITED
        and left > 1
        and view[start + 1] < min(0x80, left - 1)
    ):
        # Nearly all fields: numbers below 16, and shorter than 128 bytes.
        return view[start] >> 3, start + 2 + view[start + 1], start + 2
    key, at = _read_varint(view, start)
    kind, body = key & 7, None
    if kind == _LENGTH_DELIMITED:
        length, body = _read_varint(view, at)
        at = body + length
    elif kind == 0:
        _, at = _read_varint(view, at)
    elif kind in (1, 5):
        at += 8 if kind == 1 else 4
    else:
        raise _broken(f"wire type {kind} at byte {start}")
    if at > len(view):
        raise _broken(f"field {key >> 3} ends {plural(at - len(view), 'byte')} after the message")
    return key >> 3, at, body


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
