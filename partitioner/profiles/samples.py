"""Inputs to measure a bundle on: its calibration's samples, else images of natural statistics."""

from collections.abc import Sequence

import numpy as np

from partitioner.bundle.bundle import Bundle
from partitioner.profiles.parts.cut_profiler import MAX_SAMPLES, Feeds
from partitioner.profiles.profile import InputOrigin
from partitioner.runtime.sessions import random_feeds
from protos.tensors import Array, TensorSpec


def profile_samples(bundle: Bundle, feeds: Sequence[Feeds]) -> tuple[InputOrigin, list[Feeds]]:
    """Return where the inputs come from, and the inputs."""
    if feeds:
        return "given", list(feeds)
    if samples := bundle.samples():
        return "samples", list(samples)
    rng = np.random.default_rng(0)
    return "random", [natural_feeds(bundle.inputs, rng) for _ in range(MAX_SAMPLES)]


def natural_feeds(inputs: tuple[TensorSpec, ...], rng: np.random.Generator) -> Feeds:
    """Return random inputs; images get the spectrum of photographs, since noise does not compress."""
    feeds = random_feeds(inputs, rng)
    for spec in inputs:
        if spec.dtype == "uint8" and len(spec.shape) == 4:
            feeds[spec.name] = _photograph_like(spec.sized(), rng)
    return feeds


def _photograph_like(shape: tuple[int, ...], rng: np.random.Generator) -> Array:
    """Return uint8 noise with an amplitude of 1/f, as photographs have it (Field, JOSA A 1987)."""
    _, height, width, channels = shape
    frequency = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)[None, :])
    frequency[0, 0] = 1.0
    planes = []
    for _ in range(channels):
        noise = np.fft.rfft2(rng.standard_normal((height, width))) / frequency
        plane = np.fft.irfft2(noise, s=(height, width))
        planes.append((plane - plane.mean()) / (plane.std() + 1e-12))
    image: Array = np.clip(128 + 48 * np.stack(planes, axis=-1), 0, 255).astype(np.uint8)[None]
    return image
