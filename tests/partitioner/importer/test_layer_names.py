"""Layers by the names that a person knows: as torch.export and the exporter before it tell them."""

from collections.abc import Callable, Sequence
from pathlib import Path

import onnx
import pytest
from onnx import helper

from partitioner.bundle.bundle import Bundle
from partitioner.bundle.graph_file import parse_graph, save_graph
from partitioner.graph.graph import Graph, Node
from partitioner.importer.importer import import_model
from partitioner.importer.layer_names import layer_names
from partitioner.importer.onnx_file import load_model
from protos.errors import BundleError
from protos.tensors import TensorSpec

DIGITS = Path(__file__).parents[3] / "examples" / "digits" / "bundle"

# A block of two convolutions around one activation that is called twice, then a pooling of the model's own.
MODULES = ["stem", "block.conv1", "block.relu", "block.conv2", "block", "block.relu", ""]
OPERATORS = ["Conv", "Conv", "Relu", "Conv", "Add", "Relu", "GlobalAveragePool"]
WANTED = ["stem", "block.conv1", "block.relu", "block.conv2", "block (Add)", "block.relu_1"]


def graph_of(names: Sequence[str], scopes: Sequence[str | None]) -> onnx.GraphProto:
    """A chain of nodes; a scope of None: the exporter said nothing."""
    graph = onnx.GraphProto()
    for place, (name, scope) in enumerate(zip(names, scopes, strict=True)):
        node = helper.make_node(OPERATORS[place], [f"v{place}"], [f"v{place + 1}"], name=name)
        if scope is not None:
            node.metadata_props.add(key="pkg.torch.onnx.name_scopes", value=scope)
        graph.node.append(node)
    return graph


def around(module: str, call: str) -> str:
    parts = module.split(".") if module else []
    return str(["", *(".".join(parts[: count + 1]) for count in range(len(parts))), call])


def test_layers_are_read_from_what_torch_export_remarks() -> None:
    scopes = [around(module, f"call_{place}") for place, module in enumerate(MODULES)]
    found = layer_names(graph_of([f"node_{n}" for n in range(7)], scopes))
    assert list(found.values()) == [*WANTED, "call_6"]
    assert list(found) == [f"v{place + 1}" for place in range(7)]


def test_layers_are_read_from_names_that_the_exporter_before_it_gave() -> None:
    names = [
        "/stem/Conv", "/block/conv1/Conv", "/block/relu/Relu", "/block/conv2/Conv", "/block/Add",
        "/block/relu_1/Relu", "/GlobalAveragePool",
    ]  # fmt: skip
    found = layer_names(graph_of(names, [None] * 7))
    assert list(found.values()) == [*WANTED, "GlobalAveragePool"]


@pytest.mark.parametrize(
    ("name", "layer"),
    [
        ("/features/features.4/features.4.body/features.4.body.6/Conv", "features.4.body.6"),
        ("/features/features.4/body/body.6/Conv", "features.4.body.6"),
        ("/layer1/layer1.0/conv1/Conv", "layer1.0.conv1"),
        ("/model/layers.0/self_attn/q_proj/MatMul", "model.layers.0.self_attn.q_proj"),
    ],
)
def test_item_of_a_container_is_named_once(name: str, layer: str) -> None:
    assert layer_names(graph_of([name], [None])) == {"v1": layer}


@pytest.mark.parametrize("name", ["node_Conv_809", "stem/Conv", ""])
def test_name_that_says_no_module_is_left_alone(name: str) -> None:
    assert layer_names(graph_of([name], [None])) == {}


def test_remark_that_is_no_list_is_no_name() -> None:
    assert layer_names(graph_of(["a", "b"], ["[", around("stem", "conv")])) == {"v2": "stem"}


def test_cuts_have_the_layers_names_and_keep_their_ids(
    onnx_files: Callable[[str], Path], tmp_path: Path
) -> None:
    model = load_model(onnx_files("residual"))
    for place, node in enumerate(model.graph.node):
        node.name = f"/body/body.{place}/{node.op_type}"
    onnx.save(model, tmp_path / "named.onnx")
    bundle = import_model(tmp_path / "named.onnx", tmp_path / "named")
    inside = list(bundle.cuts.values())[1:-1]
    assert all(cut.id.startswith("cut-") for cut in inside)
    assert all(cut.after.startswith("body.") for cut in inside)
    assert bundle.graph is not None
    # A search for more cuts names them in the same way, and the runtime's nodes keep their own names.
    assert [bundle.graph.place(s.name for s in cut.frontier) for cut in inside] == [
        cut.after for cut in inside
    ]
    assert {node.name.startswith("/body/") for node in bundle.graph.nodes} == {True}


def test_graph_without_layers_is_written_as_before(tmp_path: Path) -> None:
    values = {"x": TensorSpec("x", "float32", (-1, 3)), "y": TensorSpec("y", "float32", (-1, 3))}
    for layer in ("", "stem"):
        graph = Graph((Node("n", "Relu", ("x",), ("y",), 3, layer),), ("x",), ("y",), values)
        save_graph(tmp_path, graph)
        assert parse_graph((tmp_path / "graph.json").read_bytes(), tmp_path) == graph
        assert ("layers" in (tmp_path / "graph.json").read_text()) == bool(layer)
    text = (tmp_path / "graph.json").read_text()
    (tmp_path / "graph.json").write_text(text.replace('["stem"]', '["stem","more"]'))
    with pytest.raises(BundleError, match="2 layers for 1 node"):
        parse_graph((tmp_path / "graph.json").read_bytes(), tmp_path)


def test_bundle_from_before_is_the_same_bundle() -> None:
    demo = Bundle.load(DIGITS)  # which checks its digest against all that is there
    assert demo.cuts["cut-03"].after == "stage1.1/Add"
