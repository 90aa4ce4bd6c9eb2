"""What is served, as the JSON documents of the protocol."""

from typing import Any

from google.protobuf.message import Message

from cloud_server.engine.engine import EXTENSIONS
from protos.serving.answers import ServedModel
from protos.serving.inference import SERVER_NAME, splitpoint_version
from protos.tensors import TensorSpec

REST_EXTENSIONS = (*EXTENSIONS, "binary_tensor_data")


def server_metadata() -> dict[str, Any]:
    """Return what the server is, and what it offers beyond the protocol."""
    return {
        "name": SERVER_NAME,
        "version": splitpoint_version(),
        "extensions": list(REST_EXTENSIONS),
    }


def model_metadata(name: str, model: ServedModel) -> dict[str, Any]:
    """Return a model's inputs and outputs, under the name that it was asked for by."""
    return {
        "name": name,
        "versions": list(model.versions),
        "platform": model.platform,
        "inputs": [_described(spec) for spec in model.inputs],
        "outputs": [_described(spec) for spec in model.outputs],
    }


def plain(message: Message) -> dict[str, Any]:
    """Return a message with all of its fields; 64-bit numbers stay numbers, as Triton has them.

    A message within it that was not set is left out; of an enumeration the name is told.
    """
    found: dict[str, Any] = {}
    for field in message.DESCRIPTOR.fields:
        value = getattr(message, field.name)
        if field.enum_type is not None:
            found[field.name] = field.enum_type.values_by_number[value].name
        elif field.message_type is None:
            found[field.name] = list(value) if field.is_repeated else value
        elif field.message_type.GetOptions().map_entry:
            found[field.name] = {key: _value(one) for key, one in value.items()}
        elif field.is_repeated:
            found[field.name] = [plain(one) for one in value]
        elif message.HasField(field.name):
            found[field.name] = plain(value)
    return found


def _value(one: Any) -> Any:
    return plain(one) if isinstance(one, Message) else one


def _described(spec: TensorSpec) -> dict[str, Any]:
    return {"name": spec.name, "datatype": spec.oip_datatype, "shape": list(spec.oip_shape)}
