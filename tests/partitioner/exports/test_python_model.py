"""The model of the Python backend, with a stand-in of the module that Triton gives it."""

import json
import sys
import types
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from partitioner.bundle.bundle import Bundle
from partitioner.exports.python_model import TritonPythonModel
from partitioner.exports.triton_repository import TritonOptions, export_triton
from partitioner.runtime.sessions import random_feeds


@dataclass
class Tensor:
    name: str
    array: Any

    def as_numpy(self) -> Any:
        return self.array


@dataclass
class Response:
    tensors: list[Tensor]
    error: Any = None


@dataclass
class Request:
    inputs: dict[str, Any]
    wanted: list[str]

    def requested_output_names(self) -> list[str]:
        return self.wanted


@pytest.fixture
def model(
    residual_bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[TritonPythonModel]:
    words = types.SimpleNamespace(
        Tensor=Tensor,
        InferenceResponse=Response,
        TritonError=str,
        get_input_tensor_by_name=lambda request, name: Tensor(name, request.inputs[name]),
    )
    monkeypatch.setitem(sys.modules, "triton_python_backend_utils", words)  # type: ignore[arg-type]
    options = TritonOptions(("cut-01",), ("raw",), backend="python", model_version=1)
    export_triton(residual_bundle, tmp_path / "models", options)
    made = TritonPythonModel()
    made.initialize(
        {
            "model_config": json.dumps(
                {
                    "max_batch_size": 8,
                    "parameters": {"intra_op_thread_count": {"string_value": "1"}},
                }
            ),
            "model_repository": str(tmp_path / "models" / "residual.cut-01"),
            "model_version": "1",
            "model_instance_kind": "CPU",
        }
    )
    yield made
    made.finalize()


def test_requests_of_a_batch_are_answered_as_one_by_one(
    residual_bundle: Bundle, model: TritonPythonModel
) -> None:
    tail = residual_bundle.open_tail("cut-01")
    feeds = [random_feeds(tail.inputs, np.random.default_rng(seed)) for seed in range(3)]
    feeds.append({name: np.concatenate([each[name] for each in feeds]) for name in feeds[0]})
    names = [spec.name for spec in tail.outputs]
    answers = model.execute([Request(each, names) for each in feeds])
    for each, answer in zip(feeds, answers, strict=True):
        wanted = tail.run(each)
        for tensor in answer.tensors:
            np.testing.assert_allclose(tensor.array, wanted[tensor.name], rtol=1e-4, atol=1e-5)
        assert [tensor.name for tensor in answer.tensors] == names


def test_one_wrong_request_fails_alone_and_outputs_are_those_asked_for(
    residual_bundle: Bundle, model: TritonPythonModel
) -> None:
    tail = residual_bundle.open_tail("cut-01")
    good = random_feeds(tail.inputs, np.random.default_rng(0))
    wrong = {name: array[:, :3] for name, array in good.items()}
    names = [spec.name for spec in tail.outputs]
    first, second, third = model.execute(
        [Request(good, names), Request(wrong, names), Request(good, [])]
    )
    assert (first.error, third.error) == (None, None)
    assert second.error
    assert second.tensors == []
    assert third.tensors == []
    np.testing.assert_array_equal(first.tensors[0].array, tail.run(good)[names[0]])
