"""A bundle that was damaged, changed or made by another version says so when it is loaded."""

import hashlib
import io
import json
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from partitioner.bundle.bundle import Bundle
from protos.errors import BundleError, UnknownNameError


@pytest.fixture
def copy(residual_bundle: Bundle, tmp_path: Path) -> Path:
    return Path(shutil.copytree(residual_bundle.path, tmp_path / "copy"))


def test_copy_of_a_bundle_is_the_same_bundle(copy: Path, residual_bundle: Bundle) -> None:
    assert Bundle.load(copy).digest == residual_bundle.digest


def test_flipped_bit_in_the_weights_is_found(copy: Path) -> None:
    weights = copy / "graphs" / "weights.bin"
    data = bytearray(weights.read_bytes())
    data[len(data) // 2] ^= 1
    weights.write_bytes(data)
    with pytest.raises(BundleError, match="weights.bin is damaged: it has the digest"):
        Bundle.load(copy)


def test_truncated_file_is_found(copy: Path) -> None:
    graph = copy / "graphs" / "cut-01.head.onnx"
    graph.write_bytes(graph.read_bytes()[:-1])
    with pytest.raises(
        BundleError, match="cut-01.head.onnx is damaged: it has .* bytes instead of"
    ):
        Bundle.load(copy)


def test_missing_file_is_named(copy: Path) -> None:
    (copy / "graphs" / "cut-02.tail.onnx").unlink()
    with pytest.raises(BundleError, match="lacks graphs/cut-02.tail.onnx"):
        Bundle.load(copy)


def edit(folder: Path, change: dict[str, object]) -> None:
    path = folder / "bundle.json"
    document = json.loads(path.read_text())
    document["manifest"].update(change)
    path.write_text(json.dumps(document))


def test_edited_manifest_is_found(copy: Path) -> None:
    edit(copy, {"labels": ["cat"]})
    with pytest.raises(BundleError, match="was changed"):
        Bundle.load(copy)


def test_newer_schema_is_refused(copy: Path) -> None:
    edit(copy, {"schema_version": 2})
    with pytest.raises(BundleError, match="schema version 2"):
        Bundle.load(copy)


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "[" * 100_000, "null", '{"manifest": 3}', '{"manifest": {"name": "x"}}']
)
def test_unreadable_manifest_is_refused(text: str, copy: Path) -> None:
    (copy / "bundle.json").write_text(text)
    with pytest.raises(BundleError, match="cannot be read|damaged"):
        Bundle.load(copy)


@pytest.mark.parametrize(
    "name",
    [
        "../secret",
        "graphs/../../secret",
        "{copy}/bundle.json",
        "/etc/passwd",
        "a//b",
        ".",
        "a\\b",
        "a\0b",
        "",
    ],
)
def test_manifest_that_points_outside_is_refused(copy: Path, tmp_path: Path, name: str) -> None:
    (tmp_path / "secret").write_text("x")
    document = json.loads((copy / "bundle.json").read_text())
    name = name.format(copy=copy)
    document["manifest"]["files"][name] = {"sha256": "0" * 64, "size_bytes": 1}
    (copy / "bundle.json").write_text(json.dumps(document))
    with pytest.raises(BundleError, match="outside the bundle"):
        Bundle.load(copy)


def test_file_that_is_a_link_to_outside_is_refused(copy: Path, tmp_path: Path) -> None:
    weights = copy / "graphs" / "weights.bin"
    weights.rename(tmp_path / "weights.bin")
    weights.symlink_to(tmp_path / "weights.bin")
    with pytest.raises(BundleError, match="outside the bundle"):
        Bundle.load(copy)


@pytest.mark.parametrize(
    "name", ["bundle.json", "graphs/weights.bin", "calibration.npz", "exits.npz", "signature.json"]
)
def test_pipe_in_place_of_a_file_is_refused_at_once(copy: Path, name: str) -> None:
    (copy / name).unlink(missing_ok=True)
    os.mkfifo(copy / name)
    with pytest.raises(BundleError, match="it is no file"):
        assert Bundle.load(copy).exits


def test_folder_without_a_manifest_is_no_bundle(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="splitpoint import"):
        Bundle.load(tmp_path)
    with pytest.raises(BundleError, match="no bundle"):
        Bundle.load(tmp_path / "missing")


def test_unknown_cut_lists_those_that_exist(residual_bundle: Bundle) -> None:
    with pytest.raises(UnknownNameError, match="no cut 'cut-99'.* It has: cloud, cut-01.*edge"):
        residual_bundle.cut("cut-99")


def reseal(folder: Path, document: dict[str, Any]) -> None:
    """Write an edited manifest with a digest that fits, as an attacker would."""
    content = json.dumps(document["manifest"], sort_keys=True, separators=(",", ":"))
    document["digest"] = hashlib.sha256(content.encode()).hexdigest()
    (folder / "bundle.json").write_text(json.dumps(document))


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"head_graph": "graphs/unlisted.onnx"}, "no digest for graphs/unlisted.onnx"),
        ({"tail_graph": "../elsewhere.onnx"}, "no digest for ../elsewhere.onnx"),
        ({"id": "cut-02"}, "two cuts have the same id"),
        ({"id": "edge"}, "two cuts have the same id"),
        ({"frontier": [{"name": "a", "dtype": "object", "shape": [1]}]}, "'a' cannot be object"),
        ({"frontier": [{"name": "a", "dtype": "int8", "shape": [-1, -1]}]}, "'a' cannot be"),
    ],
)
def test_manifest_that_does_not_hold_together_is_refused(
    change: dict[str, Any], match: str, copy: Path
) -> None:
    document = json.loads((copy / "bundle.json").read_text())
    document["manifest"]["cuts"][0].update(change)
    reseal(copy, document)
    with pytest.raises(BundleError, match=match):
        Bundle.load(copy)


def test_misspelt_cut_is_answered_with_the_nearest(residual_bundle: Bundle) -> None:
    with pytest.raises(
        UnknownNameError, match=r"no cut 'cut-1'\. Did you mean cut-01\? It has: cloud"
    ):
        residual_bundle.cut("cut-1")
    with pytest.raises(UnknownNameError, match=r"Did you mean edge\?"):
        residual_bundle.cut("Edge")


def with_samples(copy: Path, content: bytes) -> Bundle:
    (copy / "samples.npz").write_bytes(content)
    document = json.loads((copy / "bundle.json").read_text())
    digest = {"sha256": hashlib.sha256(content).hexdigest(), "size_bytes": len(content)}
    document["manifest"]["files"]["samples.npz"] = digest
    from partitioner.bundle.manifest import Manifest, write_manifest

    write_manifest(copy, Manifest.model_validate(document["manifest"]))
    return Bundle.load(copy)


def test_samples_that_unfold_to_more_than_allowed_are_refused(
    copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("partitioner.bundle.bundle._MAX_SAMPLES_BYTES", 1 << 20)
    file = io.BytesIO()
    np.savez_compressed(file, **{"0/x": np.zeros(2 << 20, np.uint8)})
    assert len(file.getvalue()) < 4096
    with pytest.raises(BundleError, match=r"holds no samples: it unfolds to 2,\d+,\d+ bytes"):
        with_samples(copy, file.getvalue()).samples()


@pytest.mark.parametrize("content", [b"", b"PK", b"\x93NUMPY", bytes(99)])
def test_samples_that_are_no_archive_are_refused(copy: Path, content: bytes) -> None:
    with pytest.raises(BundleError, match=r"samples\.npz holds no samples"):
        with_samples(copy, content).samples()


def test_samples_that_would_have_to_be_unpickled_are_refused(copy: Path) -> None:
    file = io.BytesIO()
    np.savez(file, **{"0/x": np.array([{}], dtype=object)})
    with pytest.raises(BundleError, match=r"holds no samples: .*allow_pickle"):
        with_samples(copy, file.getvalue()).samples()
