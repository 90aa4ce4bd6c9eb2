"""The identity of a bundle: what it holds, and that what is new leaves older ones what they are."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from partitioner.bundle.calibration import BundleCalibration
from partitioner.bundle.manifest import (
    MANIFEST_FILE,
    MODEL_GRAPH,
    SIGNATURE_FILE,
    Cut,
    FileDigest,
    Manifest,
    Segment,
    read_manifest,
)
from protos.errors import BundleError
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


def test_segments_lead_from_a_cut_to_the_end_or_are_none() -> None:
    plain = _manifest(TensorSpec("y", "float32", (-1, 2)))
    first = Segment(cut="cloud", until="cut-01", graph="graphs/h.onnx")
    last = Segment(cut="cut-01", until="edge", graph="graphs/t.onnx")
    both = plain.model_copy(update={"segments": (first, last)})
    assert Manifest.model_validate(both.model_dump(mode="json")) == both
    assert both.digest != plain.digest
    assert both.segments_from("cloud") == (first, last)
    assert both.segments_from("cut-01") == (last,)
    broken = plain.model_copy(update={"segments": (first,)})
    assert broken.segments_from("cloud") == plain.segments_from("cloud") == ()


@pytest.mark.parametrize(
    ("cut", "until"), [("cut-01", "cloud"), ("cut-01", "cut-01"), ("cut-09", "edge")]
)
def test_segment_goes_forward_between_cuts_of_the_bundle(cut: str, until: str) -> None:
    """Else following them would never end."""
    segment = Segment(cut=cut, until=until, graph="graphs/t.onnx")
    found = _manifest(TensorSpec("y", "float32", (-1, 2))).model_copy(
        update={"segments": (segment,)}
    )
    with pytest.raises(ValidationError, match=f"no segment goes from '{cut}' to '{until}'"):
        Manifest.model_validate(found.model_dump(mode="json"))


def test_what_lies_beside_a_signed_manifest_is_not_made_anew_here(tmp_path: Path) -> None:
    path = tmp_path / "calibration.npz"
    path.write_bytes(b"damaged")
    with pytest.raises(BundleError, match=r"Calibrate again with: .* or remove the file\.$"):
        BundleCalibration.load(tmp_path, "")
    (tmp_path / SIGNATURE_FILE).write_text("{}")
    with pytest.raises(BundleError, match=r"is signed: fetch or copy it again, whole\.$"):
        BundleCalibration.load(tmp_path, "")


def test_manifest_that_may_not_be_read_is_told_from_one_that_is_damaged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / MANIFEST_FILE).write_text("{")
    with pytest.raises(BundleError, match="is damaged: .*Copy or import the bundle again"):
        read_manifest(tmp_path)

    def refuse(*_: object) -> bytes:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("partitioner.bundle.manifest.read_document", refuse)  # as root may read all
    with pytest.raises(BundleError, match="cannot be read: Permission denied. Let this user"):
        read_manifest(tmp_path)
