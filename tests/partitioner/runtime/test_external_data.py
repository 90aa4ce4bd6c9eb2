"""Graphs that want to read files of this machine: each way that ONNX has to say so is found and refused."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from partitioner.bundle.bundle import Bundle
from partitioner.runtime.external_data import external_files, file_inside
from partitioner.runtime.sessions import ModelFile, RuntimeOptions, open_bundled
from protos.errors import BundleError

FLOATS = numpy_helper.from_array(np.ones(4, np.float32), "w")


def external(location: str, name: str = "w") -> TensorProto:
    tensor = TensorProto(name=name, data_type=TensorProto.FLOAT, dims=[4])
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in (("location", location), ("offset", "0"), ("length", "16")):
        tensor.external_data.add(key=key, value=value)
    return tensor


def model(*initializers: TensorProto) -> onnx.ModelProto:
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, [4]) for name in "xy")
    graph = helper.make_graph(
        [helper.make_node("Add", ["x", "w"], ["y"])], "g", [x], [y], initializers
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def in_attribute(found: onnx.ModelProto, tensor: TensorProto) -> None:
    found.graph.node.append(helper.make_node("Constant", [], ["c"], value=tensor))


def in_branch(found: onnx.ModelProto, tensor: TensorProto) -> None:
    inner = helper.make_graph([], "inner", [], [], [tensor])
    for _ in range(3):
        node = helper.make_node("If", ["c"], ["d"], then_branch=inner, else_branch=inner)
        inner = helper.make_graph([node], "inner", [], [])
    found.graph.node.append(helper.make_node("Loop", ["c"], ["d"], body=inner))


def in_function(found: onnx.ModelProto, tensor: TensorProto) -> None:
    node = helper.make_node("Constant", [], ["c"], value=tensor)
    found.functions.append(helper.make_function("d", "f", [], ["c"], [node], []))


def in_sparse(found: onnx.ModelProto, tensor: TensorProto) -> None:
    found.graph.sparse_initializer.add().indices.CopyFrom(tensor)


def in_training(found: onnx.ModelProto, tensor: TensorProto) -> None:
    found.training_info.add().initialization.initializer.append(tensor)


def in_list(found: onnx.ModelProto, tensor: TensorProto) -> None:
    attribute = found.graph.node.add(op_type="Odd").attribute.add(name="many")
    attribute.type = onnx.AttributeProto.TENSORS
    attribute.tensors.extend([FLOATS, tensor])


PLACES = [in_attribute, in_branch, in_function, in_sparse, in_training, in_list]


@pytest.mark.parametrize("place", PLACES)
def test_file_is_found_wherever_a_tensor_may_stand(
    place: Callable[[onnx.ModelProto, TensorProto], None],
) -> None:
    found = model(FLOATS, external("weights.bin", "v"))
    place(found, external("/etc/passwd"))
    assert external_files(found.SerializeToString()) == {"weights.bin", "/etc/passwd"}


@given(st.lists(st.text(max_size=9), max_size=4))
def test_files_are_those_that_the_package_onnx_writes(locations: list[str]) -> None:
    written = model(*(external(location, str(at)) for at, location in enumerate(locations)))
    assert external_files(written.SerializeToString()) == set(locations)


def test_tensor_that_comes_in_two_parts_is_read_as_protobuf_merges_it() -> None:
    """What is said twice of one field is one message to the runtime, with the entries of both."""
    halves = [model(external("weights.bin")), model(external("../secret"))]
    assert external_files(b"".join(one.SerializeToString() for one in halves)) == {
        "weights.bin",
        "../secret",
    }


@pytest.mark.parametrize(
    "location", ["/etc/passwd", "../secret", "secret", "*/_ORT_MEM_ADDR_/*", "", "./weights.bin"]
)
def test_graph_of_a_bundle_reads_nothing_but_its_weights(location: str) -> None:
    weights = np.ones(4, np.float32).tobytes()
    file = ModelFile(
        "odd.onnx", model(external(location)).SerializeToString(), {"weights.bin": weights}
    )
    with pytest.raises(
        BundleError, match="which is no file of the bundle, and is refused. Import the model"
    ):
        open_bundled(file, RuntimeOptions())
    honest = ModelFile(
        "m", model(external("weights.bin")).SerializeToString(), {"weights.bin": weights}
    )
    (found,) = open_bundled(honest, RuntimeOptions()).run(None, {"x": np.ones(4, np.float32)})
    assert found.tolist() == [2.0] * 4


def test_graph_of_an_exit_reads_no_file_at_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "secret").write_bytes(np.ones(4, np.float32).tobytes())
    monkeypatch.chdir(tmp_path)
    file = ModelFile(
        "the exit", model(external("secret")).SerializeToString(), remake="train again"
    )
    with pytest.raises(BundleError, match="tensors in 'secret'.*refused. Train again"):
        open_bundled(file, RuntimeOptions())


@pytest.mark.parametrize("content", [b"\xff" * 40, b"\x08\x00\x00\x00ORTM" + bytes(40)])
def test_bytes_that_are_no_model_are_no_graph(content: bytes) -> None:
    with pytest.raises(BundleError, match="is damaged: it is no ONNX model"):
        open_bundled(ModelFile("odd.onnx", content), RuntimeOptions())


def test_graphs_of_bundles_name_their_weights_alone(residual_bundle: Bundle) -> None:
    for name in residual_bundle.manifest.files:
        if name.endswith(".onnx"):
            assert external_files(residual_bundle.contents.read(name)) <= {"weights.bin"}


@pytest.mark.parametrize(
    "location", ["", ".", "..", "../w", "a/../../w", "/etc/passwd", "a\0b", "..\\w", "/", "\\w"]
)
def test_path_that_leaves_the_folder_is_outside(tmp_path: Path, location: str) -> None:
    with pytest.raises(ValueError, match="does not lie beside it"):
        file_inside(tmp_path, location)


def test_links_are_followed_to_their_end(tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "secret").touch()
    (tmp_path / "model" / "w").touch()
    (tmp_path / "model" / "inside").symlink_to("w")
    (tmp_path / "model" / "outside").symlink_to("../secret")
    (tmp_path / "model" / "twice").symlink_to("outside")
    (tmp_path / "model" / "up").symlink_to("..")
    assert file_inside(tmp_path / "model", "inside") == tmp_path / "model" / "inside"
    for location in ("outside", "twice", "up/secret"):
        with pytest.raises(ValueError, match="is a link out of its folder"):
            file_inside(tmp_path / "model", location)
