"""A model for Triton's Python backend: it runs the graph beside it by ONNX Runtime.

An export for servers without the backend `onnxruntime` has a copy of this file as model.py in each version.
It reads that folder alone, computes with as many threads as its configuration says, and runs the requests of
a batch together. The interpreter of the Python backend needs numpy and onnxruntime.
"""

import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # it would tell its makers of the models

import onnxruntime  # noqa: TID251

_LEAVE_AS_IT_IS = 2
"""The level of optimisation, as the backend `onnxruntime` has it, that changes nothing."""


class TritonPythonModel:
    """One instance of a model, as the Python backend wants it."""

    def initialize(self, args: dict[str, str]) -> None:
        """Open the session."""
        config = json.loads(args["model_config"])
        parameters = config.get("parameters", {})
        threads = int(parameters.get("intra_op_thread_count", {}).get("string_value", "1"))
        level = int(config.get("optimization", {}).get("graph", {}).get("level", 0))
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        if level == _LEAVE_AS_IT_IS:
            options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
        # Without this a part of a model computes other numbers than the whole, where weights have 4 bits.
        options.add_session_config_entry("session.qdq_matmulnbits_accuracy_level", "1")
        graph = Path(args["model_repository"]) / args["model_version"] / "model.onnx"
        self._session = onnxruntime.InferenceSession(graph, options, providers=_providers(args))
        self._inputs = [value.name for value in self._session.get_inputs()]
        self._outputs = [value.name for value in self._session.get_outputs()]
        self._batches = int(config.get("max_batch_size", 0)) > 0

    def execute(self, requests: Sequence[Any]) -> list[Any]:
        """Return an answer for each request; one that cannot be computed has its error."""
        feeds = [self._feeds_of(request) for request in requests]
        answers: list[dict[str, Any] | str]
        if self._batches and len(feeds) > 1:
            try:
                answers = list(self._run_together(feeds))
            except Exception:  # noqa: BLE001 - one of them is wrong, and the others must not fail for it
                answers = [self._run(each) for each in feeds]
        else:
            answers = [self._run(each) for each in feeds]
        return [
            _response(request, answer) for request, answer in zip(requests, answers, strict=True)
        ]

    def finalize(self) -> None:
        """Let go of the session."""
        del self._session

    def _feeds_of(self, request: Any) -> dict[str, Any]:
        import triton_python_backend_utils as triton

        return {
            name: triton.get_input_tensor_by_name(request, name).as_numpy() for name in self._inputs
        }

    def _run(self, feeds: dict[str, Any]) -> dict[str, Any] | str:
        try:
            values = self._session.run(self._outputs, feeds)
        except Exception as error:  # noqa: BLE001 - the runtime raises a dozen types of its own
            return str(error)
        return dict(zip(self._outputs, values, strict=True))

    def _run_together(self, feeds: Sequence[dict[str, Any]]) -> Iterator[dict[str, Any]]:
        """Run all at once, and yield each one's rows."""
        joined = {name: np.concatenate([each[name] for each in feeds]) for name in self._inputs}
        rows = [len(each[self._inputs[0]]) for each in feeds]
        values = self._session.run(self._outputs, joined)
        ends = np.cumsum(rows)[:-1]
        for parts in zip(*(np.split(value, ends) for value in values), strict=True):
            yield dict(zip(self._outputs, parts, strict=True))


def _providers(args: dict[str, str]) -> list[Any]:
    cuda = "CUDAExecutionProvider"
    if args.get("model_instance_kind") == "GPU" and cuda in onnxruntime.get_available_providers():
        device = {"device_id": args.get("model_instance_device_id", "0")}
        return [(cuda, device), "CPUExecutionProvider"]
    return ["CPUExecutionProvider"]


def _response(request: Any, answer: dict[str, Any] | str) -> Any:
    """Return what was asked for of an answer, or why there is none."""
    import triton_python_backend_utils as triton

    if isinstance(answer, str):
        return triton.InferenceResponse([], error=triton.TritonError(answer))
    wanted = request.requested_output_names()
    return triton.InferenceResponse(
        [
            triton.Tensor(name, np.ascontiguousarray(value))
            for name, value in answer.items()
            if name in wanted
        ]
    )
