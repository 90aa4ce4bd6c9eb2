"""Versions of one model: the same architecture, and another bias in its last layer."""

from pathlib import Path

import numpy as np
from onnx import ModelProto, numpy_helper

from partitioner.bundle.bundle import Bundle
from partitioner.bundle.contents import digest_file
from partitioner.bundle.manifest import write_manifest
from partitioner.importer.importer import ImportOptions, import_model
from tests.kit import models

SHIFT = 100.0
"""What each version adds to every logit of the one before."""


def two_versions(folder: Path) -> tuple[Path, Path]:
    """Return the bundles `old` and `new` in `folder`; every output of `new` is larger by SHIFT."""
    old = import_model(models.save(shifted(0), folder / "old.onnx"), folder / "old")
    new = import_model(models.save(shifted(1), folder / "new.onnx"), folder / "new" / "old")
    return old.path, new.path


def make_version(folder: Path, number: int, name: str = "net") -> Bundle:
    """Import version `number` of the bundle `name` to a folder; every output is larger by number · SHIFT."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    source = models.save(shifted(number), folder.parent / f".{name}-{number}.onnx")
    return import_model(source, folder, ImportOptions(name=name))


def shifted(number: int) -> ModelProto:
    """Return the model of one version."""
    model = models.ZOO["residual"]()
    bias = model.graph.node[-1].input[-1]
    for tensor in model.graph.initializer:
        if tensor.name == bias:
            moved = numpy_helper.to_array(tensor) + np.float32(number * SHIFT)
            tensor.CopyFrom(numpy_helper.from_array(moved.astype(np.float32), bias))
    return model


def spoil_tail(bundle: Bundle, cut: str, other: Bundle) -> Bundle:
    """Give a bundle the tail that another version has at a cut, and digests that say so; load it anew."""
    graph = bundle.cut(cut).tail_graph
    assert graph is not None
    content = (other.path / graph).read_bytes()
    (bundle.path / graph).write_bytes(content)
    files = {**bundle.manifest.files, graph: digest_file(bundle.path / graph)}
    write_manifest(bundle.path, bundle.manifest.model_copy(update={"files": files}))
    return Bundle.load(bundle.path)
