"""Imported models, run beside the original, and imports that have to fail."""

from pathlib import Path

import onnxruntime
import pytest

from partitioner.bundle.bundle import Bundle
from partitioner.importer.importer import ImportOptions, import_model
from protos.errors import FileError, ModelError, UsageError
from protos.tensors import Array


def run_onnx(path: Path, feeds: dict[str, Array]) -> dict[str, Array]:
    """The oracle: the original file, run by the runtime alone."""
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(names, feeds), strict=True))


def run_split(bundle: Bundle, cut: str, feeds: dict[str, Array]) -> dict[str, Array]:
    head = bundle.open_head(cut).run(feeds)
    frontier = {spec.name: head[spec.name] for spec in bundle.cut(cut).frontier}
    tail = bundle.open_tail(cut).run(frontier)
    return {**{name: head[name] for name in bundle.cut(cut).head_outputs}, **tail}


def refuse(source: object, out: Path, match: str, options: ImportOptions | None = None) -> None:
    """Importing must raise a sentence with `match`, and leave nothing behind."""
    before = sorted(out.parent.iterdir())
    with pytest.raises((ModelError, UsageError, FileError), match=match):
        import_model(str(source), out, options)
    assert sorted(out.parent.iterdir()) == before
