"""Inputs to measure with, where none are given."""

import numpy as np

from partitioner.profiles.samples import natural_feeds
from protos.codecs.registry import get_codec
from protos.tensors import TensorSpec


def test_synthetic_images_compress_as_photographs_do() -> None:
    spec = TensorSpec("image", "uint8", (-1, 240, 320, 3))
    image = natural_feeds((spec,), np.random.default_rng(0))["image"]
    ratio = image.nbytes / len(get_codec("jpeg").encode(image, "image"))
    # Photographs at quality 75 come down 8 to 30 times, noise twice.
    assert 5 < ratio < 40
