"""Two versions of one model: the same architecture, and another bias in its last layer."""

from pathlib import Path

import numpy as np
from onnx import numpy_helper

from partitioner.importer.importer import import_model
from tests.kit import models

SHIFT = 100.0
"""What the second version adds to every logit."""


def two_versions(folder: Path) -> tuple[Path, Path]:
    """Return the bundles `old` and `new` in `folder`; every output of `new` is larger by SHIFT."""
    model = models.ZOO["residual"]()
    old = import_model(models.save(model, folder / "old.onnx"), folder / "old")
    bias = model.graph.node[-1].input[-1]
    for tensor in model.graph.initializer:
        if tensor.name == bias:
            shifted = numpy_helper.to_array(tensor) + np.float32(SHIFT)
            tensor.CopyFrom(numpy_helper.from_array(shifted.astype(np.float32), bias))
    source = models.save(model, folder / "new.onnx")
    new = import_model(source, folder / "new" / "old")
    return old.path, new.path
