"""DigitNet: a small residual network shaped for split inference.

Every stage works on wide expansions but hands on a narrow, linear value, so the places where it is
cheap to cut come early and often: 16 x 20 x 20 after about a third of the work, 24 x 10 x 10 after
about two thirds.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

import torch
from torch import Tensor, nn

IMAGE_SIZE = 320
CLASSES = 10
WEIGHTS = Path(__file__).with_name("digitnet.pt")


def conv_bn(inputs: int, outputs: int, kernel: int, stride: int = 1) -> list[nn.Module]:
    """Convolution with "same" padding and batch normalisation, as a list to splice."""
    conv = nn.Conv2d(inputs, outputs, kernel, stride, padding=kernel // 2, bias=False)
    return [conv, nn.BatchNorm2d(outputs)]


class InvertedResidual(nn.Module):
    """Fused inverted residual: narrow -> wide 3x3 -> narrow, linear at the end.

    The expansion is a dense 3x3 convolution as in EfficientNetV2's Fused-MBConv (Tan and Le, 2021);
    the projection has no activation as in MobileNetV2 (Sandler et al., 2018). The skip exists where
    input and output have the same shape.
    """

    def __init__(self, inputs: int, wide: int, outputs: int, stride: int = 1) -> None:
        super().__init__()
        self.expand = nn.Sequential(*conv_bn(inputs, wide, 3, stride), nn.ReLU6())
        self.project = nn.Sequential(*conv_bn(wide, outputs, 1))
        self.has_skip = stride == 1 and inputs == outputs
        if self.has_skip:  # start as the identity, which trains faster
            nn.init.zeros_(self.project[1].weight)

    def forward(self, value: Tensor) -> Tensor:
        """(N, inputs, H, W) -> (N, outputs, H / stride, W / stride)."""
        narrow = self.project(self.expand(value))
        return value + narrow if self.has_skip else narrow


def stage(inputs: int, first: int, wide: int, outputs: int, skips: int) -> nn.Sequential:
    """One block that halves the resolution through `first` channels, then `skips` residual ones."""
    blocks = [InvertedResidual(inputs, first, outputs, stride=2)]
    blocks += [InvertedResidual(outputs, wide, outputs) for _ in range(skips)]
    return nn.Sequential(*blocks)


class DigitNet(nn.Module):
    """Ten-way classifier of one handwritten digit somewhere in a 320 x 320 photograph."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(*conv_bn(3, 24, 7, stride=4), nn.ReLU6())  # 24 x 80 x 80
        self.stage1 = stage(24, first=64, wide=48, outputs=24, skips=1)  # 24 x 40 x 40
        self.stage2 = stage(24, first=128, wide=288, outputs=16, skips=6)  # 16 x 20 x 20
        self.stage3 = stage(16, first=256, wide=480, outputs=24, skips=5)  # 24 x 10 x 10
        self.head = nn.Sequential(*conv_bn(24, 256, 1), nn.ReLU6())  # 256 x 10 x 10
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.classifier = nn.Linear(256, CLASSES)

    def forward(self, image: Tensor) -> Tensor:
        """Image (N, 3, 320, 320), normalised with ImageNet's mean and std -> logits (N, 10)."""
        value = self.stage3(self.stage2(self.stage1(self.stem(image))))
        return self.classifier(self.pool(self.head(value)).flatten(1))


def build(weights: Path = WEIGHTS, seed: int = 0) -> DigitNet:
    """DigitNet in evaluation mode: trained if the file `weights` exists, else seeded at random."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = DigitNet()
    if weights.exists():
        network.load_state_dict(torch.load(weights, map_location="cpu", weights_only=True))
    return network.eval()


@torch.inference_mode()
def describe_cost(network: DigitNet) -> str:
    """A table of what can be cut after: shape, values and cumulative FLOPs (2 a MAC) of a frame."""
    flops = 0
    rows: list[tuple[str, Tensor, int]] = []

    def count(layer: nn.Module, _inputs: object, output: Tensor) -> None:
        nonlocal flops
        if isinstance(layer, nn.Conv2d | nn.Linear):
            flops += 2 * output.numel() * layer.weight[0].numel()

    def report(name: str, _part: nn.Module, _inputs: object, output: Tensor) -> None:
        rows.append((name, output, flops))

    hooks = [layer.register_forward_hook(count) for layer in network.modules()]
    for name, part in network.named_modules():
        if isinstance(part, InvertedResidual) or name in ("stem", "head", "pool", "classifier"):
            hooks.append(part.register_forward_hook(partial(report, name)))
    was_training = network.training
    network.eval()(torch.zeros(1, 3, IMAGE_SIZE, IMAGE_SIZE))
    network.train(was_training)
    for hook in hooks:
        hook.remove()
    lines = [f"{'after':11} {'output':14} {'values':>8} {'MFLOP so far':>13} {'share':>6}"]
    for name, output, so_far in rows:
        shape = " x ".join(str(size) for size in output.shape[1:])
        share = f"{so_far / flops:.0%}"
        lines.append(f"{name:11} {shape:14} {output.numel():8,} {so_far / 1e6:13.1f} {share:>6}")
    return "\n".join(lines)


if __name__ == "__main__":
    print(describe_cost(build()))
