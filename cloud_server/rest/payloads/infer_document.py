"""The JSON of an inference request and of its answer, as the protocol and Triton's binary extension say."""

import json
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, FailFast, Field, ValidationError

from cloud_server.rest.payloads.json_tensors import read_numbers, write_numbers
from protos.errors import TensorError, TooLargeError, plural
from protos.inference_pb2 import InferParameter, ModelInferRequest, ModelInferResponse
from protos.tensors import Buffer

MAX_JSON_BYTES = 4 << 20
"""Of the JSON of one request: it unfolds to some twenty times its size, and is parsed in one go, for which
nothing else of this process runs: 30 ms at 4 MiB, 230 at 14."""

_BINARY_SIZE, _BINARY, _ALL_BINARY = "binary_data_size", "binary_data", "binary_data_output"
_SHARED_MEMORY = "shared_memory_region"
_MOST_TENSORS = 1024
_INT64 = 1 << 63

_MOST_SIGNS = 4096

_Name = Annotated[str, Field(max_length=_MOST_SIGNS)]
_Parameters = Annotated[dict[str, Any], Field(max_length=64)]


class RequestInput(BaseModel):
    """One input: its numbers in `data`, or so many bytes behind the JSON."""

    model_config = ConfigDict(strict=True)
    name: _Name
    shape: Annotated[list[int], FailFast()] = Field(max_length=64)
    datatype: str = Field(max_length=16)
    parameters: _Parameters = Field(default_factory=dict)
    data: list[Any] | None = None


class RequestOutput(BaseModel):
    """One output that is asked for."""

    model_config = ConfigDict(strict=True)
    name: _Name
    parameters: _Parameters = Field(default_factory=dict)


class InferRequest(BaseModel):
    """An inference request."""

    model_config = ConfigDict(strict=True)
    id: str = Field(default="", max_length=_MOST_SIGNS)
    parameters: _Parameters = Field(default_factory=dict)
    inputs: Annotated[list[RequestInput], FailFast()] = Field(max_length=_MOST_TENSORS)
    outputs: Annotated[list[RequestOutput], FailFast()] = Field(
        default_factory=list, max_length=_MOST_TENSORS
    )

    def wants_binary(self, output: str) -> bool:
        """Tell whether an output is to come as binary data: by its own word, else by that for all."""
        for asked in self.outputs:
            if asked.name == output and _BINARY in asked.parameters:
                return asked.parameters[_BINARY] is True
        return self.parameters.get(_ALL_BINARY) is True


def read_request(
    body: memoryview, json_bytes: int | None, model: str, version: str
) -> tuple[InferRequest, ModelInferRequest, list[memoryview]]:
    """Return the request in `body`, whose first `json_bytes` are JSON (None: all of it), in both forms.

    Raises TensorError where it is broken, TooLargeError where its JSON is over MAX_JSON_BYTES.
    """
    if json_bytes is not None and not 0 < json_bytes <= len(body):
        raise TensorError(
            f"Inference-Header-Content-Length says {plural(json_bytes, 'byte')} of JSON, and the body has "
            f"{len(body):,}. Send the length of the JSON."
        )
    text, binary = body[:json_bytes], body[len(body) if json_bytes is None else json_bytes :]
    document = _parsed(text)
    header = ModelInferRequest(model_name=model, model_version=version, id=document.id)
    _copy_parameters(document.parameters, header.parameters, (_ALL_BINARY,))
    for output in document.outputs:
        asked = header.outputs.add(name=output.name)
        _copy_parameters(output.parameters, asked.parameters, (_BINARY,))
    return document, header, _read_inputs(document.inputs, binary, header)


def write_answer(
    answer: ModelInferResponse, raw: Sequence[Buffer], asked: InferRequest
) -> tuple[bytes, list[Buffer]]:
    """Return the JSON of an answer, and of the outputs that were asked for as binary data their bytes."""
    outputs: list[dict[str, Any]] = []
    behind: list[Buffer] = []
    for tensor, data in zip(answer.outputs, raw, strict=True):
        output: dict[str, Any] = {
            "name": tensor.name,
            "datatype": tensor.datatype,
            "shape": list(tensor.shape),
        }
        if asked.wants_binary(tensor.name):
            output["parameters"] = {_BINARY_SIZE: len(data)}
            behind.append(data)
        else:
            output["data"] = write_numbers(data, tensor.datatype, tensor.name)
        outputs.append(output)
    document = {
        "model_name": answer.model_name,
        "model_version": answer.model_version,
        "parameters": {key: _plain(value) for key, value in sorted(answer.parameters.items())},
        "outputs": outputs,
    }
    if answer.id:
        document["id"] = answer.id
    return json.dumps(document, separators=(",", ":")).encode(), behind


def _parsed(text: memoryview) -> InferRequest:
    if len(text) > MAX_JSON_BYTES:
        raise TooLargeError(
            f"the JSON has {plural(len(text), 'byte')}, and {MAX_JSON_BYTES:,} are allowed. Send large "
            "tensors as binary data behind the JSON (binary_data_size), as tritonclient does, or by gRPC."
        )
    try:
        return InferRequest.model_validate_json(bytes(text))
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        where = ".".join(map(str, first["loc"])) or "the body"
        raise TensorError(
            f"this is no inference request: {where}: {first['msg']}. Send the JSON that the Open "
            "Inference Protocol describes."
        ) from error


def _read_inputs(
    inputs: Sequence[RequestInput], binary: memoryview, header: ModelInferRequest
) -> list[memoryview]:
    raw: list[memoryview] = []
    at = 0
    for tensor in inputs:
        _check_input(tensor)
        made = header.inputs.add(name=tensor.name, datatype=tensor.datatype, shape=tensor.shape)
        _copy_parameters(tensor.parameters, made.parameters, (_BINARY_SIZE,))
        if tensor.data is not None:
            numbers = read_numbers(tensor.data, tensor.datatype, tensor.shape, tensor.name)
            raw.append(memoryview(numbers))
            continue
        size = _size(tensor.parameters.get(_BINARY_SIZE))
        if size is None or at + size > len(binary):
            raise TensorError(
                f"tensor {tensor.name!r} has neither data nor, by its {_BINARY_SIZE}, its bytes behind the "
                f"JSON, where {plural(len(binary) - at, 'byte')} are left. Send one of both."
            )
        raw.append(binary[at : at + size])
        at += size
    if at != len(binary):
        raise TensorError(
            f"{plural(len(binary) - at, 'byte')} behind the JSON belong to no input. Send for each input "
            f"as many as its {_BINARY_SIZE} says."
        )
    return raw


def _check_input(tensor: RequestInput) -> None:
    if _SHARED_MEMORY in tensor.parameters:
        raise TensorError(
            f"tensor {tensor.name!r} lies in shared memory, which this server does not support. Send its "
            "data."
        )
    if not all(0 <= size < _INT64 for size in tensor.shape):
        raise TensorError(
            f"tensor {tensor.name!r} has a size below 0 or of more than 63 bits. Send the shape of its data."
        )
    if tensor.data is not None and _BINARY_SIZE in tensor.parameters:
        raise TensorError(
            f"tensor {tensor.name!r} has both data and {_BINARY_SIZE}. Send one of both."
        )


def _size(value: Any) -> int | None:
    """Return a number of bytes; None where it is none."""
    return value if type(value) is int and value >= 0 else None


def _copy_parameters(
    found: Mapping[str, Any], into: Any, without: tuple[str, ...]
) -> None:  # `into` is a map of protobuf
    for key, value in found.items():
        if key in without:
            continue
        if isinstance(value, bool):
            into[key].bool_param = value
        elif isinstance(value, int) and -_INT64 <= value < _INT64:
            into[key].int64_param = value
        elif isinstance(value, float):
            into[key].double_param = value
        elif isinstance(value, str):
            into[key].string_param = value
        else:
            raise TensorError(
                f"the parameter {key[:64]!r} is neither a string, a number nor true or false. Send one of "
                "these."
            )


def _plain(value: InferParameter) -> Any:
    return getattr(value, value.WhichOneof("parameter_choice") or "string_param")
