"""Calls to the REST side of a cloud server, without a socket or with one."""

import json
import socket
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import httpx

from cloud_server.rest.app import create_app
from cloud_server.server import CloudServer
from partitioner.bundle.bundle import Bundle
from protos.names import model_name
from protos.tensors import Array
from tests.kit.cloud_calls import TIMEOUT_S


@asynccontextmanager
async def rest_client(server: CloudServer) -> AsyncIterator[httpx.AsyncClient]:
    """A client that calls the application itself."""
    transport = httpx.ASGITransport(app=create_app(server.served))
    async with httpx.AsyncClient(transport=transport, base_url="http://cloud") as client:
        yield client


def document_of(bundle: Bundle, cut: str, values: Mapping[str, Array]) -> dict[str, Any]:
    """An inference request in JSON."""
    return {
        "inputs": [
            {
                "name": spec.name,
                "datatype": spec.oip_datatype,
                "shape": list(values[spec.name].shape),
                "data": values[spec.name].tolist(),
            }
            for spec in bundle.cut(cut).frontier
        ]
    }


def infer_path(bundle: Bundle, cut: str = "cloud") -> str:
    return f"/v2/models/{model_name(bundle.name, cut)}/infer"


def connect(address: str) -> socket.socket:
    """A plain connection to HOST:PORT."""
    host, _, port = address.rpartition(":")
    return socket.create_connection((host.strip("[]"), int(port)), timeout=TIMEOUT_S)


def answer_on(connection: socket.socket) -> tuple[int, dict[str, str], bytes]:
    """Read one answer: status, headers by lower-case name, body. Status 0: the connection was closed."""
    with connection.makefile("rb") as stream:
        first = stream.readline()
        if not first:
            return 0, {}, b""
        headers: dict[str, str] = {}
        while (line := stream.readline().strip()) != b"":
            name, _, value = line.decode().partition(":")
            headers[name.lower()] = value.strip()
        return int(first.split()[1]), headers, stream.read(int(headers.get("content-length", 0)))


def post(path: str, body: bytes, **headers: str) -> bytes:
    """The bytes of a request; `content_length` may lie."""
    named = {"host": "cloud", "content_length": str(len(body)), **headers}
    lines = [f"{name.replace('_', '-')}: {value}" for name, value in named.items() if value]
    return "\r\n".join([f"POST {path} HTTP/1.1", *lines, "", ""]).encode() + body


def error_of(body: bytes) -> str:
    document = json.loads(body)
    assert list(document) == ["error"]
    return str(document["error"])
