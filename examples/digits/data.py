"""Camera-like frames with one handwritten digit each, made from what scikit-learn ships.

The digits are the 1,797 real ones of `load_digits`, 8 x 8 cells of 0 to 16, and the backgrounds its
two photographs. Training and test share neither writers nor regions of a photograph.

Writers. scikit-learn ships only the test part of UCI's "Optical Recognition of Handwritten
Digits", written by 13 people, without writer ids. But the labels show the order: the same sequence
of about 130 digits, the form that each writer filled in, repeats 14 times (it begins with 0 to 9
three times over), so each writer's digits are contiguous. We cut only where a form begins: nine
forms for training, one for validation, four for test. That is inferred from the labels, not
documented. 14 forms by 13 writers mean that one may have filled in two; the validation form lies
between training and test as a guard, so neighbouring forms by one hand cannot straddle them.

Photographs. Training and validation crop the left 60 % of both, test the right 35 %, and nobody
sees the 5 % between.
"""

from __future__ import annotations

import argparse
import csv
import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter
from sklearn.datasets import load_digits, load_sample_images

IMAGE_SIZE = 320
CELLS = 8  # a digit is CELLS x CELLS cells, padded by 2 on every side before it is drawn
FIELD_CELL = 8  # pixels per cell once interpolated
FIELD_SIZE = (CELLS + 4) * FIELD_CELL
IMAGENET_MEAN = np.array([0.485, 0.456, 0.406], np.float32)
IMAGENET_STD = np.array([0.229, 0.224, 0.225], np.float32)
LUMA = np.array([0.299, 0.587, 0.114], np.float32)

Frame = NDArray[np.uint8]
Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Split:
    """Which digits (indices into `load_digits`) and which columns of a photograph (fractions)."""

    name: str
    digits: range
    columns: tuple[float, float]


TRAIN = Split("train", range(1157), (0.0, 0.6))
VALIDATION = Split("validation", range(1157, 1287), (0.0, 0.6))
TEST = Split("test", range(1287, 1797), (0.65, 1.0))
SPLITS = {split.name: split for split in (TRAIN, VALIDATION, TEST)}


class FrameSource:
    """Draws frames of one split; the generator passed in decides everything that is random."""

    def __init__(self, split: Split) -> None:
        digits = load_digits()
        chosen = list(split.digits)
        self.labels: NDArray[np.int64] = digits.target[chosen].astype(np.int64)
        self._fields = [smooth_field(cells) for cells in digits.images[chosen]]
        self._photos = [
            crop_columns(photo, *split.columns) for photo in load_sample_images().images
        ]

    def __len__(self) -> int:
        return len(self.labels)

    def frame(self, digit: int, rng: np.random.Generator, size: int = IMAGE_SIZE) -> Frame:
        """One (size, size, 3) uint8 RGB frame that shows the digit with this index in the split.

        A smaller frame is a smaller piece of the same world: digits and grain keep their scale.
        """
        scene = background(self._photos[rng.integers(len(self._photos))], size, rng)
        scene = draw_digit(scene, self._fields[digit], rng)
        return photograph(scene, rng)


def smooth_field(cells: NDArray[np.float64]) -> Image.Image:
    """Ink density, about 0..1, as a smooth float image (FIELD_SIZE, FIELD_SIZE) from 8 x 8 cells.

    Ink is judged against its surroundings as well, which keeps thin strokes and small loops open.
    """
    padded = np.pad(cells / 16.0, 2).astype(np.float32)
    field = Image.fromarray(padded).resize((FIELD_SIZE, FIELD_SIZE), Image.Resampling.BICUBIC)
    density = np.asarray(field)
    return Image.fromarray(density + 0.8 * (density - box_mean(density, 2 * FIELD_CELL + 1)))


def box_mean(values: Floats, width: int) -> Floats:
    """Mean over squares of about `width` pixels, same shape, zeros beyond the border."""
    kernel = np.full(width, 1.0 / width, np.float32)
    for axis in (0, 1):
        values = np.apply_along_axis(np.convolve, axis, values, kernel, "same")
    return values


def crop_columns(photo: Frame, left: float, right: float) -> Image.Image:
    """The columns between two fractions of a photograph's width, at full height."""
    width = photo.shape[1]
    return Image.fromarray(photo[:, round(left * width) : round(right * width)])


def background(photo: Image.Image, size: int, rng: np.random.Generator) -> Floats:
    """A random square of a photograph, perhaps mirrored, as (size, size, 3) floats in 0..1."""
    side = rng.uniform(130, min(photo.size)) * size / IMAGE_SIZE
    left, top = rng.uniform(0, photo.width - side), rng.uniform(0, photo.height - side)
    box = (left, top, left + side, top + side)
    crop = photo.resize((size, size), Image.Resampling.BICUBIC, box=box)
    pixels = np.asarray(crop, np.float32) / 255.0
    return pixels[:, ::-1] if rng.random() < 0.5 else pixels


def random_pose(size: int, rng: np.random.Generator) -> tuple[NDArray[np.float64], float]:
    """A homography from frame pixels to field pixels, and the digit's height in frame pixels."""
    height = rng.uniform(80, min(220, 0.9 * size))
    angle = np.deg2rad(rng.uniform(-18, 18))
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    shear = np.array([[rng.uniform(0.85, 1.15), rng.uniform(-0.2, 0.2)], [0.0, 1.0]])
    reach = np.abs(turn @ shear * height) @ np.array([0.36, 0.5])  # most digits are narrow
    low, high = reach, size - reach
    pose = np.eye(3)
    pose[:2, :2] = turn @ shear * height
    pose[:2, 2] = [rng.uniform(a, b) if a < b else size / 2 for a, b in zip(low, high, strict=True)]
    tilt = np.eye(3)
    tilt[2, :2] = rng.uniform(-0.25, 0.25, 2)
    to_field = np.diag([CELLS * FIELD_CELL, CELLS * FIELD_CELL, 1.0])
    to_field[:2, 2] = FIELD_SIZE / 2
    return to_field @ np.linalg.inv(pose @ tilt), height


def draw_digit(scene: Floats, field: Image.Image, rng: np.random.Generator) -> Floats:
    """Draw the digit's strokes and their shadow into the scene, in place, and return it."""
    size = len(scene)
    pose, height = random_pose(size, rng)
    coefficients = (pose / pose[2, 2]).ravel()[:8].tolist()
    density = field.transform(
        (size, size), Image.Transform.PERSPECTIVE, coefficients, Image.Resampling.BILINEAR
    )
    edge = 10.0 / height  # the change of density over about two pixels: anti-aliased strokes
    threshold = rng.uniform(0.36, 0.46)
    strokes = np.clip((np.asarray(density) - threshold) / edge + 0.5, 0.0, 1.0)
    under = np.tensordot(strokes, scene, 2) / (strokes.sum() + 1e-6)
    scene *= 1.0 - rng.uniform(0.0, 0.6) * cast_shadow(strokes, height, rng)
    opacity = rng.uniform(0.85, 1.0) * strokes[..., None]
    scene += opacity * (stroke_colour(under, rng) - scene)
    return scene


def cast_shadow(strokes: Floats, height: float, rng: np.random.Generator) -> Floats:
    """The strokes blurred and shifted by up to 8 % of the digit's height, (size, size, 1)."""
    shift = np.rint(rng.uniform(-0.08, 0.08, 2) * height).astype(int)
    small = Image.fromarray((strokes * 255).astype(np.uint8)).reduce(2)
    blurred = small.filter(ImageFilter.GaussianBlur(rng.uniform(1.0, 5.0)))
    shadow = np.asarray(blurred.resize(strokes.shape, Image.Resampling.BILINEAR))
    return np.roll(shadow, tuple(shift), (0, 1))[..., None].astype(np.float32) / 255.0


def stroke_colour(under: Floats, rng: np.random.Generator) -> Floats:
    """A colour whose luma differs by at least 0.35 from `under`, the mean RGB that it covers."""
    luma = float(under @ LUMA)
    darker, lighter = max(luma - 0.35, 0.0), min(luma + 0.35, 1.0)
    pick_dark = rng.random() < darker / (darker + 1.0 - lighter)
    wanted = rng.uniform(0.0, darker) if pick_dark else rng.uniform(lighter, 1.0)
    tint = rng.uniform(0.0, 1.0, 3).astype(np.float32)
    tint = 0.5 * (tint - tint @ LUMA) * min(wanted, 1.0 - wanted) * 2.0
    return np.clip(wanted + tint, 0.0, 1.0)


def photograph(scene: Floats, rng: np.random.Generator) -> Frame:
    """What a cheap camera makes of a scene: light fall-off, exposure, colour cast, blur, noise."""
    ramp = np.linspace(-0.5, 0.5, len(scene), dtype=np.float32)
    slope = rng.uniform(-0.35, 0.35, 2).astype(np.float32)
    light = 1.0 + slope[0] * ramp[:, None, None] + slope[1] * ramp[None, :, None]
    gains = 255.0 * 2.0 ** rng.uniform(-0.5, 0.4) * rng.uniform(0.9, 1.1, 3).astype(np.float32)
    exposed = np.clip(scene * (light * gains), 0.0, 255.0)
    image = Image.fromarray(exposed.astype(np.uint8))
    blurred = np.asarray(image.filter(ImageFilter.GaussianBlur(rng.uniform(0.3, 1.3))))
    grain = rng.standard_normal((*blurred.shape[:2], 1), np.float32) * rng.uniform(1.0, 6.0)
    return np.clip(blurred + grain, 0.0, 255.0).astype(np.uint8)


def encode_jpeg(frame: Frame, quality: int) -> bytes:
    """JPEG with 4:2:0 chroma, as cameras send it."""
    buffer = io.BytesIO()
    Image.fromarray(frame).save(buffer, "JPEG", quality=quality, subsampling="4:2:0")
    return buffer.getvalue()


def decode_jpeg(data: bytes) -> Frame:
    """(H, W, 3) uint8 RGB."""
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))


def normalise(frames: Frame) -> Floats:
    """(N, H, W, 3) uint8 -> the network's input: (N, 3, H, W) float32, ImageNet mean and std."""
    scaled = (frames.astype(np.float32) / 255.0 - IMAGENET_MEAN) / IMAGENET_STD
    return np.ascontiguousarray(scaled.transpose(0, 3, 1, 2))


def write_frames(folder: Path, split: Split, count: int, seed: int) -> None:
    """`count` JPEG frames, the ten digits in equal numbers, and `labels.csv` beside them."""
    source = FrameSource(split)
    rng = np.random.default_rng(seed)
    by_label = [rng.permutation(np.flatnonzero(source.labels == label)) for label in range(10)]
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "labels.csv").open("w", newline="") as file:
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(["file", "label"])
        for number, label in enumerate(rng.permutation(np.arange(count) % 10)):
            digits = by_label[label]
            name = f"frame-{number:03}.jpg"
            frame = source.frame(digits[number % len(digits)], rng)
            (folder / name).write_bytes(encode_jpeg(frame, quality=90))
            rows.writerow([name, label])


def main() -> None:
    parser = argparse.ArgumentParser(
        description="Write frames as JPEG with their labels.",
        epilog="example: python data.py --out frames --count 100",
    )
    parser.add_argument("--out", type=Path, required=True, help="folder for frames and labels.csv")
    parser.add_argument(
        "--split", choices=sorted(SPLITS), default=TEST.name, help=f"default: {TEST.name}"
    )
    parser.add_argument("--count", type=int, default=100, help="number of frames (default: 100)")
    parser.add_argument("--seed", type=int, default=2024, help="default: 2024")
    arguments = parser.parse_args()
    write_frames(arguments.out, SPLITS[arguments.split], arguments.count, arguments.seed)


if __name__ == "__main__":
    main()
