"""What the routes take and give, as OpenAPI describes it."""

from typing import Any

from pydantic import BaseModel

from cloud_server.rest.payloads.infer_document import InferRequest

_Schema = dict[str, Any]


def _json(schema: _Schema, description: str) -> _Schema:
    return {"description": description, "content": {"application/json": {"schema": schema}}}


_ERROR: _Schema = {
    "type": "object",
    "properties": {"error": {"type": "string"}},
    "required": ["error"],
}
_READY: _Schema = {"type": "object", "properties": {"ready": {"type": "boolean"}}}


def _refused(**statuses: str) -> dict[int | str, _Schema]:
    return {status.lstrip("_"): _json(_ERROR, text) for status, text in statuses.items()}


UNREADY: dict[int | str, _Schema] = {"503": _json(_READY, "Not ready")}

REFUSED = _refused(
    _401="Not known who asks",
    _403="May not ask for this",
    _404="No such model or version",
    _422="Not used: arguments of no use get 400",
    _429="Too much at once: try again after `Retry-After` seconds",
)
REFUSED_ORDERS = REFUSED | _refused(
    _400="Not taken",
    _413="Too large",
    _500="What the folder has cannot be served",
    _504="Not in time",
)
REFUSED_INFERENCE = REFUSED | _refused(
    _400="Broken request",
    _409="The caller's bundle is another one",
    _413="Too large",
    _500="The server failed; its log says why",
    _503="Going away: try again elsewhere",
    _504="Not in time",
)

_TENSOR: _Schema = {
    "type": "object",
    "properties": {
        "name": {"type": "string"},
        "datatype": {"type": "string"},
        "shape": {"type": "array", "items": {"type": "integer"}},
        "parameters": {"type": "object"},
        "data": {"type": "array", "items": {}},
    },
    "required": ["name", "datatype", "shape"],
}
ANSWER: dict[int | str, _Schema] = {
    "200": {
        "description": "The outputs; those asked for as binary data follow the JSON",
        "content": {
            "application/json": {
                "schema": {
                    "type": "object",
                    "properties": {
                        "model_name": {"type": "string"},
                        "model_version": {"type": "string"},
                        "id": {"type": "string"},
                        "parameters": {"type": "object"},
                        "outputs": {"type": "array", "items": _TENSOR},
                    },
                    "required": ["model_name", "outputs"],
                }
            },
            "application/octet-stream": {"schema": {"type": "string", "format": "binary"}},
        },
    }
}


def _inlined(schema: _Schema) -> _Schema:
    """Return a schema of pydantic's without references to definitions beside it."""
    parts: _Schema = schema.pop("$defs", {})

    def resolved(node: Any) -> Any:
        if isinstance(node, dict):
            if "$ref" in node:
                return resolved(parts[node["$ref"].rpartition("/")[2]])
            return {key: resolved(value) for key, value in node.items()}
        return [resolved(one) for one in node] if isinstance(node, list) else node

    found: _Schema = resolved(schema)
    return found


def body_of(model: type[BaseModel]) -> _Schema:
    """Return that a route may be sent the JSON of `model`."""
    schema = _inlined(model.model_json_schema())
    return {"requestBody": {"content": {"application/json": {"schema": schema}}}}


REQUEST: _Schema = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {"schema": _inlined(InferRequest.model_json_schema())},
            "application/octet-stream": {"schema": {"type": "string", "format": "binary"}},
        },
    },
    "parameters": [
        {
            "name": "Inference-Header-Content-Length",
            "in": "header",
            "required": False,
            "description": "Bytes of the JSON, where binary data follow it",
            "schema": {"type": "integer", "minimum": 1},
        }
    ],
}
