"""Models that a function in torch makes."""

from pathlib import Path

import numpy as np
import pytest

from partitioner.importer.importer import import_model
from partitioner.runtime.sessions import random_feeds
from tests.kit.imports import refuse, run_split


def test_torch_factory_with_example_inputs_becomes_a_bundle(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    factory = tmp_path / "nets.py"
    factory.write_text(
        "from __future__ import annotations\n"
        "from dataclasses import dataclass\n"
        "import torch\n"
        "from torch import nn\n"
        "@dataclass\n"
        "class Settings:\n"
        "    depth: int = 4\n"
        "def build():\n"
        "    print('hello from user code')\n"
        "    torch.manual_seed(0)\n"
        "    net = nn.Sequential(*[m for i in range(4) for m in\n"
        "        (nn.Conv2d(3 if i == 0 else 8, 8, 3, padding=1), nn.BatchNorm2d(8), nn.SiLU())],\n"
        "        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 5))\n"
        "    return net, torch.rand(1, 3, 16, 16)\n"
    )
    bundle = import_model(f"{factory}:build", tmp_path / "net")
    assert capsys.readouterr().out == ""
    import torch

    namespace: dict[str, object] = {"__name__": "builtins"}
    exec(factory.read_text(), namespace)
    module, _ = namespace["build"]()  # type: ignore[operator]
    feeds = random_feeds(bundle.inputs, np.random.default_rng(0), 2)
    assert bundle.inputs[0].shape == (-1, 3, 16, 16)
    with torch.no_grad():
        wanted = module.eval()(torch.from_numpy(feeds[bundle.inputs[0].name])).numpy()
    for cut in bundle.cuts:
        (found,) = run_split(bundle, cut, feeds).values()
        np.testing.assert_allclose(found, wanted, atol=1e-5)


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("def build():\n    raise RuntimeError('no luck')\n", "RuntimeError: no luck"),
        ("def build():\n    return 3\n", "returned int"),
        ("import nowhere_to_be_found\n", "nowhere_to_be_found"),
        ("def build():\n    import neighbour_of_mine\n", "neighbour_of_mine"),
        ("def other():\n    pass\n", "no factory 'build'"),
        (
            "import torch\ndef build():\n    return torch.nn.Linear(3, 3)\n",
            "without example inputs",
        ),
    ],
)
def test_factory_that_fails_says_why(text: str, match: str, tmp_path: Path) -> None:
    factory = tmp_path / "broken.py"
    factory.write_text(text)
    refuse(f"{factory}:build", tmp_path / "out", match)
