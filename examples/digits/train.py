"""Train DigitNet, measure it on held-out frames and export it to ONNX."""

from __future__ import annotations

import argparse
import random
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from data import (
    IMAGE_SIZE,
    IMAGENET_MEAN,
    IMAGENET_STD,
    TEST,
    TRAIN,
    VALIDATION,
    FrameSource,
    Split,
    decode_jpeg,
    encode_jpeg,
    normalise,
)
from export import export_onnx, measure_difference
from network import DigitNet, InvertedResidual, build, describe_cost
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import DataLoader, Dataset

from partitioner.common.units import plural


@dataclass(frozen=True)
class Phase:
    """A stretch of training on fresh frames of one size, with its own one-cycle schedule."""

    size: int
    batch: int
    steps: int
    peak_rate: float
    cut_noise: bool
    first_item: int = 0  # past the frames that an earlier phase of this size has drawn


# Small frames are cheap and hold the digit at its true scale; the others see whole frames.
PHASES = (
    Phase(size=160, batch=64, steps=1600, peak_rate=4e-3, cut_noise=False),
    Phase(size=IMAGE_SIZE, batch=32, steps=1400, peak_rate=1.5e-3, cut_noise=True),
    Phase(IMAGE_SIZE, batch=32, steps=480, peak_rate=1e-3, cut_noise=True, first_item=44_800),
)


class FreshFrames(Dataset[tuple[Tensor, int]]):
    """Item k is drawn from its own generator, so the workers' number and timing change nothing."""

    def __init__(self, split: Split, phase: Phase, seed: int) -> None:
        self._source = FrameSource(split)
        self._phase, self._seed = phase, seed

    def __len__(self) -> int:
        return self._phase.steps * self._phase.batch

    def __getitem__(self, item: int) -> tuple[Tensor, int]:
        """A (size, size, 3) uint8 frame, half of them after a round trip through JPEG."""
        size = self._phase.size
        rng = np.random.default_rng((self._seed, size, self._phase.first_item + item))
        digit = int(rng.integers(len(self._source)))
        frame = self._source.frame(digit, rng, size)
        if rng.random() < 0.5:
            frame = decode_jpeg(encode_jpeg(frame, quality=int(rng.integers(50, 96)))).copy()
        return torch.from_numpy(frame), int(self._source.labels[digit])


class CutNoise:
    """Uniform noise on the output of one random block a step: what a low-bit codec will do there.

    A quantiser with step s adds an error close to uniform in +-s/2 (Widrow and Kollar, 2008); s is
    drawn up to one standard deviation of the value, about two and a half bits.
    """

    def __init__(self, network: DigitNet, seed: int) -> None:
        self._blocks = [m for m in network.modules() if isinstance(m, InvertedResidual)]
        self._random = random.Random(seed)
        self._active: nn.Module | None = None
        for block in self._blocks:
            block.register_forward_hook(self._hook)

    def choose(self, enabled: bool) -> None:
        """Pick the block that the next forward pass disturbs, or none."""
        self._active = self._random.choice(self._blocks) if enabled else None

    def _hook(self, block: nn.Module, _inputs: object, value: Tensor) -> Tensor:
        if block is not self._active or not block.training:
            return value
        step = self._random.random() * value.detach().std()
        return value + (torch.rand_like(value) - 0.5) * step


def batches(phase: Phase, seed: int) -> Iterator[tuple[Tensor, Tensor]]:
    """`phase.steps` batches: normalised images (N, 3, size, size), channels last, labels (N)."""
    frames = FreshFrames(TRAIN, phase, seed)
    mean, std = torch.from_numpy(IMAGENET_MEAN), torch.from_numpy(IMAGENET_STD)
    for images, labels in DataLoader(frames, phase.batch, num_workers=1, prefetch_factor=8):
        yield ((images / 255.0 - mean) / std).permute(0, 3, 1, 2), labels


def train_phase(network: DigitNet, noise: CutNoise, phase: Phase, seed: int, bf16: bool) -> None:
    """Run one phase in place and print the loss and accuracy on its fresh training frames."""
    optimiser = torch.optim.AdamW(network.parameters(), phase.peak_rate, weight_decay=0.02)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, phase.peak_rate, total_steps=phase.steps, pct_start=0.2
    )
    started, seen, correct, losses = time.monotonic(), 0, 0, 0.0
    for step, (images, labels) in enumerate(batches(phase, seed), start=1):
        network.train()
        noise.choose(phase.cut_noise)
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            logits = network(images).float()
        loss = functional.cross_entropy(logits, labels, label_smoothing=0.1)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
        seen, losses = seen + len(labels), losses + loss.item() * len(labels)
        correct += int((logits.argmax(1) == labels).sum())
        if step % 50 == 0 or step == phase.steps:
            print(
                f"{phase.size} px  step {step:5}/{phase.steps}  loss {losses / seen:.3f}  "
                f"accuracy {correct / seen:.3f}  {time.monotonic() - started:5.0f} s",
                flush=True,
            )
            seen, correct, losses = 0, 0, 0.0


@torch.inference_mode()
def measure_accuracy(
    network: DigitNet, split: Split, count: int, seed: int, qualities: tuple[int | None, ...]
) -> list[float]:
    """Share of `count` seeded frames classified right, for each JPEG quality (None: pixels).

    The frames cycle through all digits of the split.
    """
    network.eval()
    source = FrameSource(split)
    rng = np.random.default_rng(seed)
    correct = np.zeros(len(qualities))
    for digit in np.arange(count) % len(source):
        frame = source.frame(digit, rng)
        seen = [frame if q is None else decode_jpeg(encode_jpeg(frame, q)) for q in qualities]
        logits = network(torch.from_numpy(normalise(np.stack(seen))))
        correct += logits.argmax(1).numpy() == source.labels[digit]
    return (correct / count).tolist()


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__,
        epilog="example: python train.py --out digitnet.pt --onnx digitnet.onnx --bf16",
    )
    parser.add_argument("--out", type=Path, required=True, help="where the trained weights go")
    parser.add_argument("--onnx", type=Path, help="where the ONNX model goes (default: nowhere)")
    parser.add_argument("--seed", type=int, default=0, help="default: 0")
    parser.add_argument("--threads", type=int, default=1, help="torch's threads (default: 1)")
    parser.add_argument("--bf16", action="store_true", help="train in bfloat16 where the CPU can")
    parser.add_argument("--scale", type=float, default=1.0, help="multiplies the number of steps")
    parser.add_argument("--test-frames", type=int, default=2000, help="default: 2000")
    return parser.parse_args()


def main() -> None:
    arguments = parse_arguments()
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(arguments.seed)
    network = DigitNet().to(memory_format=torch.channels_last)
    print(describe_cost(network))
    noise = CutNoise(network, arguments.seed)
    for phase in PHASES:
        scaled = replace(phase, steps=max(10, round(phase.steps * arguments.scale)))
        train_phase(network, noise, scaled, arguments.seed, arguments.bf16)
        torch.save(network.state_dict(), arguments.out)
    for split, count in ((VALIDATION, 520), (TEST, arguments.test_frames)):
        pixels, q90, q75 = measure_accuracy(network, split, count, 1, (None, 90, 75))
        print(
            f"{split.name}, {plural(count, 'frame')}: pixels {pixels:.2%}  JPEG 90 {q90:.2%}  75 {q75:.2%}"
        )
    if arguments.onnx is not None:
        plain = build(weights=arguments.out)
        export_onnx(plain, arguments.onnx)
        source, rng = FrameSource(TEST), np.random.default_rng(0)
        images = normalise(np.stack([source.frame(digit, rng) for digit in range(16)]))
        difference = measure_difference(plain, arguments.onnx, images)
        print(f"{arguments.onnx}: at most {difference:.1e} away from torch")


if __name__ == "__main__":
    main()
