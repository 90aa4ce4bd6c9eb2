"""Tracing a model: the types and shapes of all its values, in the memory of one inference."""

import subprocess
import sys
from pathlib import Path

from onnx import TensorProto

from partitioner.importer.value_specs import trace
from partitioner.importer.values.input_shapes import leave_sizes_open
from tests.kit.models import Builder, save

_TRACE = """
import resource, sys
from pathlib import Path
import onnx
from partitioner.importer.value_specs import trace

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10

model, before = onnx.load(sys.argv[1]), peak()
trace(model, Path(sys.argv[1]).parent)
print(peak() - before)
"""


def test_trace_of_a_long_chain_takes_the_memory_of_a_few_values(tmp_path: Path) -> None:
    """80 values of 4 MB: all of them in a batch of two are 640 MB, an inference holds two."""
    b = Builder()
    y = b.input("x", [1, 1, 1024, 1024])
    for _ in range(80):
        y = b.op("Neg", y)
    path = save(b.model(y), tmp_path / "m.onnx")
    done = subprocess.run(  # the most that this process ever had would hide it
        [sys.executable, "-c", _TRACE, str(path)], capture_output=True, text=True, check=True
    )
    assert int(done.stdout) < 160 << 20


def test_values_of_every_type_are_known_by_type_and_shape(tmp_path: Path) -> None:
    b = Builder()
    x = b.input("x", [1, 3, 4])
    half = b.op("Cast", x, to=TensorProto.FLOAT16)
    double = b.op("Cast", half, to=TensorProto.DOUBLE)
    positive = b.op("Greater", double, b.op("Neg", double))
    places = b.op("ArgMax", x, axis=2, keepdims=0)
    model = b.model(positive, places)
    found = trace(model, tmp_path)
    assert {name: (spec.dtype, spec.shape) for name, spec in found.items()} == {
        "x": ("float32", (-1, 3, 4)),
        half: ("float16", (-1, 3, 4)),
        double: ("float64", (-1, 3, 4)),
        "neg_2": ("float64", (-1, 3, 4)),
        positive: ("bool", (-1, 3, 4)),
        places: ("int64", (-1, 3)),
    }


def test_open_batch_has_one_name_for_all_inputs() -> None:
    """A size without a name becomes another unknown at every node, which the runtime compares in pairs."""
    b = Builder()
    x, y = b.input("x", [1, 3]), b.input("y", [1, 3])
    model = b.model(b.op("Add", x, y))
    leave_sizes_open(model, batch_alone=True)
    dims = [value.type.tensor_type.shape.dim for value in model.graph.input]
    assert [(first.dim_param, second.dim_value) for first, second in dims] == [("batch", 3)] * 2
