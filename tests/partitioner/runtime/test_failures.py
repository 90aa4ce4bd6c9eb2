"""One cause, one advice: what the runtime says, as it says it, and what is made of that."""

import errno
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from partitioner.runtime.failures import Cause, Failure

Nodes = list[onnx.NodeProto]


def _failure(
    nodes: Nodes,
    weights: dict[str, np.ndarray] | None = None,
    feeds: dict[str, np.ndarray] | None = None,
    opset: int = 17,
) -> Failure:
    """Return what the runtime makes of a model from x, float32[?, 4], to y."""
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, [None, 4])
    y = onnx.ValueInfoProto(name="y")
    y.type.tensor_type.elem_type = TensorProto.FLOAT
    tensors = [numpy_helper.from_array(array, name) for name, array in (weights or {}).items()]
    model = helper.make_model(
        helper.make_graph(nodes, "test", [x], [y], tensors),
        opset_imports=[helper.make_opsetid("", opset)],
        ir_version=8,
    )
    settings = onnxruntime.SessionOptions()
    settings.log_severity_level = 4
    with pytest.raises(Exception, match="ONNXRuntimeError") as caught:
        onnxruntime.InferenceSession(model.SerializeToString(), settings).run(
            None, feeds or {"x": np.ones((1, 4), np.float32)}
        )
    return Failure.of(caught.value)


def node(op: str, *inputs: str, **attributes: object) -> Nodes:
    return [helper.make_node(op, list(inputs), ["y"], **attributes)]


SQUARE = np.ones((4, 4), np.float32)
CASES = {
    "an operator that it does not know": (
        Cause.OPERATOR,
        "has no Frobnicate",
        lambda: _failure(node("Frobnicate", "x")),
    ),
    "operators of a domain that it does not know": (
        Cause.OPERATOR,
        "has no mine",
        lambda: _failure(node("Frobnicate", "x", domain="mine")),
    ),
    "an opset of the future": (
        Cause.TOO_NEW,
        "Update onnxruntime",
        lambda: _failure(node("Relu", "x"), opset=999),
    ),
    "types that do not fit": (
        Cause.TYPES,
        "left out, import the model again",
        lambda: _failure(node("MatMul", "x", "w"), {"w": SQUARE.astype(np.int64)}),
    ),
    "shapes that do not fit": (
        Cause.SHAPES,
        "left out, import the model again",
        lambda: _failure(node("MatMul", "x", "w"), {"w": SQUARE[:3]}),
    ),
    "a value that no node makes": (
        Cause.GRAPH,
        "left out, import the model again",
        lambda: _failure(node("Add", "x", "nothing")),
    ),
    "too little memory": (
        Cause.MEMORY,
        "Free memory",
        lambda: _failure(node("ConstantOfShape", "w"), {"w": np.array([1 << 21, 1 << 21])}),
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_failure_is_told_by_its_cause(name: str) -> None:
    cause, advice, make = CASES[name]
    found = make()
    assert found.cause is cause
    assert advice in found.advice_on_opening()
    assert "\n" not in found.said
    assert "onnxruntime_src" not in found.said
    assert "ONNXRuntimeError" not in found.said


def test_memory_and_updates_are_advised_for_nothing_else() -> None:
    for name, (cause, _, make) in CASES.items():
        found = make()
        said = found.advice_on_opening() + found.advice_on_running
        assert ("memory" in said) == (cause is Cause.MEMORY), name
        assert ("Update" in said) == (cause is Cause.TOO_NEW), name


@pytest.mark.parametrize("name", ["", "/Shape_1/Gather", "/broadcast: out of memory/Gather"])
def test_value_out_of_range_is_the_inputs_matter_whatever_its_node_is_called(name: str) -> None:
    place = [helper.make_node("Cast", ["x"], ["i"], to=TensorProto.INT64)]
    looked_up = node("Gather", "w", "i", name=name)
    found = _failure([*place, *looked_up], {"w": SQUARE}, {"x": np.full((1, 4), 9, np.float32)})
    assert found.cause is Cause.VALUES
    assert found.operator == "Gather"
    assert "does not take these values" in found.advice_on_running


def test_broken_bytes_are_to_be_copied_again() -> None:
    with pytest.raises(Exception, match="protobuf") as caught:
        onnxruntime.InferenceSession(b"no model at all" * 9)
    found = Failure.of(caught.value)
    assert found.cause is Cause.DAMAGED
    assert "Copy the bundle again, or import the model again" in found.advice_on_opening()
    assert "train the exits again" in found.advice_on_opening("train the exits again")


def test_file_is_named_by_whoever_tells_the_failure(tmp_path: Path) -> None:
    path = tmp_path / "net.onnx"
    path.write_bytes(b"no model at all" * 9)
    with pytest.raises(Exception, match="PROTOBUF") as caught:
        onnxruntime.InferenceSession(str(path))
    assert str(path) not in Failure.of(caught.value).said


def test_disk_that_is_full_is_told_as_such() -> None:
    """Graphs whose branches have weights are opened from files of their own."""
    found = Failure.of(OSError(errno.ENOSPC, "No space left on device", "/tmp/x"))
    assert found.cause is Cause.DISK
    assert found.said == "No space left on device"
    assert "make room" in found.advice_on_opening()


PLACE = (
    " ; GPU=0 ; hostname=vm ; file=/onnxruntime_src/onnxruntime/core/providers/cuda/nn/conv.cc ; line=484 ; "
    "expr=s_.cudnn_fe_graph->execute(cudnn_handle, s_.variant_pack, ws.get());"
)
SIGNATURE = (
    "/onnxruntime_src/onnxruntime/core/providers/cuda/cuda_call.cc:146 std::conditional_t<THRW, void, "
    "common::Status> onnxruntime::CudaCall(ERRTYPE, const char*, const char*, SUCCTYPE, const char*, const "
    "char*, int) [with ERRTYPE = cublasStatus_t; bool THRW = true; SUCCTYPE = cublasStatus_t] "
)


@pytest.mark.parametrize(
    ("told", "cause", "said"),
    [
        (
            "Non-zero status code returned while running Conv node. Name:'Conv_115' Status Message: "
            f"CUDNN_FE failure 11: CUDNN_BACKEND_API_FAILED{PLACE}",
            Cause.GPU,
            "Conv Conv_115: CUDNN_FE failure 11: CUDNN_BACKEND_API_FAILED",
        ),
        (
            f"Exception during initialization: {SIGNATURE}"
            f"CUBLAS failure 3: CUBLAS_STATUS_ALLOC_FAILED{PLACE}",
            Cause.MEMORY,
            "CUBLAS failure 3: CUBLAS_STATUS_ALLOC_FAILED",
        ),
        (
            f"{SIGNATURE}CUDA failure 2: out of memory{PLACE}",
            Cause.MEMORY,
            "CUDA failure 2: out of memory",
        ),
        (
            f"{SIGNATURE}CUDA failure 700: an illegal memory access was encountered{PLACE}",
            Cause.GPU,
            "CUDA failure 700: an illegal memory access was encountered",
        ),
    ],
)
def test_failure_of_a_gpu_is_neither_the_input_nor_the_bundle(
    told: str, cause: Cause, said: str
) -> None:
    found = Failure.of(RuntimeError(f"[ONNXRuntimeError] : 6 : RUNTIME_EXCEPTION : {told}"))
    assert (found.cause, found.said) == (cause, said)
    for advice in (found.advice_on_running, found.advice_on_opening()):
        assert "Free" in advice
        assert "values" not in advice
        assert "verify" not in advice
