"""What a device holds that has heads alone, and what it says when more is asked."""

import json
from typing import Any

import pytest
from typer.testing import CliRunner

from partitioner.bundle.bundle import Bundle
from partitioner.bundle.head_export import export_heads
from partitioner.bundle.heads import HEADS_FILE
from partitioner.bundle.manifest import WEIGHTS_FILE, WEIGHTS_MAP_FILE
from partitioner.bundle.verification import verify_bundle
from partitioner.cli.main import app
from protos.errors import BundleError, UnknownNameError
from tests.kit.heads import middle

runner = CliRunner()


@pytest.mark.parametrize("spoil", ["flip", "cut", "remove"])
def test_damage_to_what_is_held_is_found(spoil: str, middle_head: Bundle) -> None:
    path = middle_head.path / WEIGHTS_FILE
    data = bytearray(path.read_bytes())
    if spoil == "flip":
        data[len(data) // 2] ^= 1
        path.write_bytes(data)
    elif spoil == "cut":
        path.write_bytes(data[:-1])
    else:
        path.unlink()
    with pytest.raises(BundleError, match=r"weights\.bin.*Fetch or copy the heads again"):
        Bundle.load(middle_head.path)


def test_damaged_or_missing_head_is_found(middle_head: Bundle) -> None:
    (graph,) = middle_head.path.glob("graphs/*.head.onnx")
    graph.write_bytes(graph.read_bytes()[:-1])
    with pytest.raises(BundleError, match=r"head\.onnx is damaged"):
        Bundle.load(middle_head.path)
    graph.unlink()
    with pytest.raises(BundleError, match="lacks graphs/cut-"):
        Bundle.load(middle_head.path)


def test_map_that_was_changed_to_fit_other_weights_is_found(middle_head: Bundle) -> None:
    path = middle_head.path / WEIGHTS_MAP_FILE
    path.write_text(path.read_text().replace('"sha256":"', '"sha256":"f', 1))
    with pytest.raises(BundleError, match=r"weights\.json is damaged"):
        Bundle.load(middle_head.path)


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"bundle_digest": "f00d" * 16}, "is of another bundle: f00df00df00d…"),
        ({"cuts": ["cut-99"]}, "damaged: of cut-99 the bundle has none"),
        ({"cuts": []}, "damaged: .*at least 1 item"),
        ({"schema_version": 2}, "damaged: Input should be 1"),
    ],
)
def test_note_of_what_is_held_is_checked(
    change: dict[str, Any], match: str, middle_head: Bundle
) -> None:
    path = middle_head.path / HEADS_FILE
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    with pytest.raises(BundleError, match=match):
        Bundle.load(middle_head.path)
    path.write_text("[" * 100_000)
    with pytest.raises(BundleError, match=r"heads\.json is damaged"):
        Bundle.load(middle_head.path)


def test_what_needs_the_rest_says_what_is_here_and_what_to_do(
    middle_head: Bundle, residual_bundle: Bundle
) -> None:
    cut = middle(residual_bundle)
    other = residual_bundle.manifest.cuts[0].id
    here = rf"holds only heads of residual \(of {cut}\)"
    for name in ("edge", other):
        with pytest.raises(
            BundleError, match=f"{here}.*Use one of: cloud, {cut}, or fetch the whole"
        ):
            middle_head.open_head(name)
    for need in (
        lambda: middle_head.open_tail(cut),
        lambda: middle_head.open_tail("cloud"),
        lambda: middle_head.graph,
        lambda: verify_bundle(middle_head, []),
        lambda: export_heads(middle_head, middle_head.path / "more"),
    ):
        with pytest.raises(BundleError, match=f"{here}.*splitpoint-edge fetch residual"):
            need()
    with pytest.raises(UnknownNameError, match=f"no cut 'cut-99'.* It has: cloud, {cut}"):
        middle_head.cut("cut-99")
    assert runner.invoke(app, ["verify", str(middle_head.path)]).exit_code != 0
