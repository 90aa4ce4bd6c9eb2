"""A cloud to run against, and frames in a folder."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cloud_server.server import CloudServer
from partitioner.bundle.bundle import Bundle


@pytest.fixture(scope="module")
def address(image_bundle: Bundle) -> Iterator[str]:
    """The address of a cloud that serves the image bundle."""
    with CloudServer(bundles=image_bundle.path, listen="127.0.0.1:0") as server:
        yield server.address


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Six images, 32 pixels wide and high."""
    rng = np.random.default_rng(1)
    folder = tmp_path / "frames"
    folder.mkdir()
    for number in range(6):
        pixels = rng.integers(0, 256, (32, 32, 3)).astype(np.uint8)
        Image.fromarray(pixels).save(folder / f"{number}.png")
    return folder
