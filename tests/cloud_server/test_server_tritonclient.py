"""Triton's own client, in a process of its own: our messages are what others take them for."""

import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from cloud_server.models.version import Version
from cloud_server.server import CloudServer
from partitioner.bundle.bundle import Bundle
from protos import inference_pb2
from tests.kit.cloud_calls import crossing, uncut
from tests.kit.triton_client import run_client, run_repository_client


def our_messages(found: Iterable[Any]) -> Iterator[tuple[str, set[tuple[str, int, int, bool]]]]:
    """Every message of ours, nested ones too, and its fields."""
    for message in found:
        fields = {(f.name, f.number, f.type, f.is_repeated) for f in message.fields}
        yield message.full_name, fields
        yield from our_messages(message.nested_types)


def test_triton_client_is_served_and_agrees_on_every_message(
    residual_bundle: Bundle, tmp_path: Path
) -> None:
    cut = next(c for c in residual_bundle.manifest.cuts if len(c.frontier) == 1)
    sent = crossing(residual_bundle, cut.id)
    with CloudServer(residual_bundle.path) as server:
        found = run_client(server.address, f"{residual_bundle.name}.{cut.id}", sent, tmp_path)

    assert (found["live"], found["ready"], found["server"]) == (True, True, "splitpoint")
    assert (found["inputs"], found["id"]) == ([cut.frontier[0].name], "one")
    (wanted,) = uncut(residual_bundle).values()
    tail = residual_bundle.open_tail(cut.id)
    with np.load(tmp_path / "got.npz") as got:
        np.testing.assert_allclose(got["infer"], wanted, rtol=1e-4, atol=1e-5)
        for shift in range(4):
            shifted = {name: array + np.float32(shift) for name, array in sent.items()}
            (expected,) = tail.run(shifted).values()
            np.testing.assert_allclose(got[f"stream{shift}"], expected, rtol=1e-4, atol=1e-5)
    assert len(found["errors"]) == 1
    assert "no model 'nowhere'" in found["errors"][0]
    assert found["unknown"][0] == "StatusCode.NOT_FOUND"
    assert found["statistics"] == [5, 5]

    theirs: dict[str, list[tuple[str, int, int, bool]]] = found["fields"]
    ours = inference_pb2.DESCRIPTOR
    for name, fields in our_messages(ours.message_types_by_name.values()):
        assert fields <= {tuple(field) for field in theirs[name]}, name
    for name, enum in ours.enum_types_by_name.items():
        assert {value.name: value.number for value in enum.values} == found["enums"][name]


def test_triton_client_manages_the_repository(net_versions: list[Bundle], tmp_path: Path) -> None:
    for number, bundle in enumerate(net_versions):
        shutil.copytree(bundle.path, tmp_path / f"net-{number}")
    numbers = {Version(bundle).number for bundle in net_versions}
    with CloudServer(tmp_path) as server:
        found = run_repository_client(server.address, "net")

    config = found["config"]
    assert (config["name"], config["backend"]) == ("net", "onnxruntime")
    assert config["input"] == [
        {"name": "x", "data_type": "TYPE_FP32", "dims": ["-1", "3", "32", "32"]}
    ]
    assert {(one["name"], one["version"], one["state"]) for one in found["index"]} == {
        ("net", number, "READY") for number in numbers
    }
    assert found["versions"] == dict.fromkeys(numbers, "net")
    assert {(one["version"], one["state"], one["reason"]) for one in found["unloaded"]} == {
        (number, "UNAVAILABLE", "unloaded") for number in numbers
    }
    assert found["ready"] == [False, True]
    wanted = [
        ("INVALID_ARGUMENT", "a load with 'config' is refused"),
        ("NOT_FOUND", "no bundle 'nowhere'"),
        ("NOT_FOUND", "no bundle 'net.nowhere'"),
        ("UNIMPLEMENTED", "failed to register system shared memory region"),
        ("UNIMPLEMENTED", "failed to register CUDA shared memory region"),
    ]
    for (status, said), (code, sentence) in zip(found["refused"], wanted, strict=True):
        assert status == f"StatusCode.{code}"
        assert sentence in said
    assert found["shared"] == [{}, {}]
