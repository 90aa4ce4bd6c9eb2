"""Frames to infer, and what the whole model makes of them."""

from typing import Any

import numpy as np

from partitioner.bundle.bundle import Bundle
from protos.names import EDGE
from protos.tensors import Array


def whole(bundle: Bundle, inputs: dict[str, Array]) -> dict[str, Array]:
    """Return what the whole model, uncut, makes of `inputs`: the oracle."""
    return bundle.open_head(EDGE).run(inputs)


def frames(bundle: Bundle, count: int, seed: int = 0) -> list[dict[str, Array]]:
    """Return as many inputs, all different."""
    rng = np.random.default_rng(seed)
    return [{spec.name: random(rng, spec) for spec in bundle.inputs} for _ in range(count)]


def random(rng: np.random.Generator, spec: Any) -> Array:
    if spec.dtype.startswith("float"):
        return rng.standard_normal(spec.sized()).astype(spec.dtype)
    return rng.integers(0, 256 if spec.dtype == "uint8" else 2, spec.sized()).astype(spec.dtype)


def crossing_cuts(bundle: Bundle) -> list[str]:
    """Return the cuts at which something crosses."""
    return [cut for cut in bundle.cuts if cut != EDGE]


def assert_same(found: object, wanted: dict[str, np.ndarray]) -> None:
    assert isinstance(found, dict)
    assert list(found) == list(wanted)
    for name, array in wanted.items():
        np.testing.assert_allclose(found[name], array, rtol=1e-4, atol=1e-5)
