"""The identity of a bundle: what it holds, and that what is new leaves older ones what they are."""

from partitioner.bundle.manifest import MODEL_GRAPH, Cut, FileDigest, Manifest
from protos.tensors import TensorSpec


def _manifest(output: TensorSpec, unoptimized: tuple[str, ...] = ()) -> Manifest:
    graphs = ("graphs/h.onnx", "graphs/t.onnx")
    cut = Cut(
        id="cut-01",
        after="relu",
        frontier=(TensorSpec("h", "float32", (-1, 4)),),
        head_graph=graphs[0],
        tail_graph=graphs[1],
    )
    return Manifest(
        name="net",
        created_by="splitpoint 0.1.0",
        source="net.onnx",
        inputs=(TensorSpec("x", "float32", (-1, 3)),),
        outputs=(output,),
        cuts=(cut,),
        files={n: FileDigest(sha256="0" * 64, size_bytes=1) for n in (MODEL_GRAPH, *graphs)},
        unoptimized=unoptimized,
    )


def test_bundle_from_before_sizes_of_data_keeps_its_digest() -> None:
    """The digest is the one that was computed before specs had `usual` and `drawn`."""
    old = _manifest(TensorSpec("y", "float32", (-1, 2)))
    assert old.digest == "65070ea5f22effc669d3f331e05d6d21283a7a7f55ab2c61307e4eeb7b96351e"
    assert Manifest.model_validate(old.model_dump(mode="json")) == old


def test_sizes_of_data_ranges_and_graphs_as_they_are_come_back_and_count() -> None:
    boxes = TensorSpec("y", "float32", (1, -2, 4), (7,), (0.1, 1.0))
    new = _manifest(boxes, ("graphs/t.onnx",))
    assert Manifest.model_validate(new.model_dump(mode="json")) == new
    assert new.digest != _manifest(boxes).digest
    assert _manifest(boxes).digest != _manifest(TensorSpec("y", "float32", (1, -2, 4), (8,))).digest
