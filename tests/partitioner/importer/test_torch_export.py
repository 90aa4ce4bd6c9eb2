"""Models that a function in torch makes."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from partitioner.importer.importer import import_model
from partitioner.importer.torch_export import export_factory
from partitioner.runtime.sessions import random_feeds
from protos.errors import ModelError
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
            "import torch\ndef build():\n    return torch.nn.Bilinear(3, 3, 3)\n",
            "without example inputs.*`input_shapes` input1=1x16 `input_shapes` input2=1x16",
        ),
    ],
)
def test_factory_that_fails_says_why(text: str, match: str, tmp_path: Path) -> None:
    factory = tmp_path / "broken.py"
    factory.write_text(text)
    refuse(f"{factory}:build", tmp_path / "out", match)


_NETS = """
import numpy as np
import torch
from torch import nn
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.a, self.b = nn.Linear(6, 5), nn.Linear(5, 4)
    def forward(self, x, scale: float = 1.0, flag: bool = False):
        y = self.b(torch.relu(self.a(x))) * scale
        return -y if flag else y
class Plain(Net):
    def forward(self, x):
        return self.b(torch.relu(self.a(x)))
class Listed(Plain):
    def forward(self, xs):
        return super().forward(xs[0]) + super().forward(xs[1]["left"])
class Starred(Plain):
    def forward(self, *parts):
        return super().forward(parts[0]) - super().forward(parts[1])
class Branching(Plain):
    def forward(self, x):
        y = super().forward(x)
        return y if y.sum() > 0 else -y
X = torch.rand(1, 6)
def scripted(): return torch.jit.script(Plain()), (X,)
def traced(): return torch.jit.trace(Plain(), X), X
def compiled(): return torch.compile(Plain()), [X]
def parallel(): return nn.DataParallel(Plain()), (X,)
def array(): return Plain(), X.numpy()
def number(): return Net(), (X, 2.5)
def named(): return Net(), {"flag": True, "x": X}
def listed(): return Listed(), ([X, {"left": X}],)
def starred(): return Starred(), (X, X)
def brain(): return Plain().bfloat16(), X.bfloat16()
Instance = Plain()
def untold(): return torch.jit.trace(Plain(), X)
def branching(): return Branching(), X
def weights(): return Plain().state_dict()
def kind(): return Plain
def three(): return Plain(), X, X
def many(): return Plain(), (X, X)
def texts(): return Net(), {"x": 3.0}
def odd(): return Plain(), (object(),)
def quantised(): return torch.ao.quantization.quantize_dynamic(Plain(), {nn.Linear}), X
def meta():
    with torch.device("meta"):
        return Plain(), X
"""


_OWN_WARNINGS = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")
"""What torch says of its older ways is the factory's matter."""


@pytest.fixture
def nets(tmp_path: Path) -> Path:
    path = tmp_path / "nets.py"
    path.write_text(_NETS)
    return path


@_OWN_WARNINGS
@pytest.mark.parametrize(
    ("factory", "inputs", "oracle"),
    [
        ("scripted", ["x"], lambda net, x: net(x)),
        ("traced", ["x"], lambda net, x: net(x)),
        ("compiled", ["x"], lambda net, x: net(x)),
        ("parallel", ["x"], lambda net, x: net(x)),
        ("array", ["x"], lambda net, x: net(x)),
        ("number", ["x"], lambda net, x: 2.5 * net(x)),
        ("named", ["x"], lambda net, x: -net(x)),
        ("listed", ["xs_0", "xs_1_left"], lambda net, x, y: net(x) + net(y)),
        ("starred", ["parts_0", "parts_1"], lambda net, x, y: net(x) - net(y)),
    ],
)
def test_whatever_a_factory_returns_computes_what_the_module_does(
    factory: str, inputs: list[str], oracle: Callable[..., Any], nets: Path, tmp_path: Path
) -> None:
    import onnxruntime
    import torch

    export_factory(f"{nets}:{factory}", {}, {}, tmp_path / "m.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "m.onnx")
    assert [node.name for node in session.get_inputs()] == inputs
    rng = np.random.default_rng(0)
    feeds = {name: rng.standard_normal((3, 6)).astype(np.float32) for name in inputs}
    (found,) = session.run(None, feeds)
    namespace: dict[str, Any] = {"__name__": "builtins"}
    exec(_NETS, namespace)
    with torch.no_grad():
        wanted = oracle(namespace["Plain"]().eval(), *map(torch.from_numpy, feeds.values()))
    np.testing.assert_allclose(found, wanted.numpy(), atol=1e-5)


@_OWN_WARNINGS
def test_weights_in_bfloat16_become_float32(nets: Path, tmp_path: Path) -> None:
    said: list[str] = []
    bundle = import_model(f"{nets}:brain", tmp_path / "net", on_remark=said.append)
    assert any("bfloat16" in text for text in said)
    assert [spec.dtype for spec in (*bundle.inputs, *bundle.outputs)] == ["float32", "float32"]


@_OWN_WARNINGS
def test_numbers_among_examples_are_said_to_be_fixed(nets: Path, tmp_path: Path) -> None:
    said: list[str] = []
    export_factory(f"{nets}:number", {}, {}, tmp_path / "m.onnx", said.append)
    assert len(said) == 1
    assert "=2.5" in said[0]


@_OWN_WARNINGS
def test_module_itself_needs_no_factory_and_a_traced_one_no_signature(
    nets: Path, tmp_path: Path
) -> None:
    for name in ("Instance", "untold"):
        export_factory(f"{nets}:{name}", {"x": (1, 6)}, {}, tmp_path / f"{name}.onnx")
        with pytest.raises(ModelError, match="without example inputs.*`input_shapes` x=1x(6|16)"):
            export_factory(f"{nets}:{name}", {}, {}, tmp_path / "no.onnx")


@_OWN_WARNINGS
@pytest.mark.parametrize(
    ("factory", "sentence"),
    [
        ("branching", "chooses by the values of a tensor.* torch.where"),
        ("weights", "A state_dict holds weights and no computation"),
        ("kind", "the class Plain"),
        ("three", "a tuple of 3.* Put all inputs into one tuple"),
        ("many", "2 example inputs, and the module takes x"),
        ("texts", "none of which is a tensor"),
        ("odd", "the example of x is a object"),
        ("quantised", "quantised, which cannot be exported"),
        ("meta", "hold no numbers"),
    ],
)
def test_what_cannot_be_exported_is_refused_for_its_own_reason(
    factory: str, sentence: str, nets: Path, tmp_path: Path
) -> None:
    with pytest.raises(ModelError, match=sentence):
        export_factory(f"{nets}:{factory}", {}, {}, tmp_path / "m.onnx")
