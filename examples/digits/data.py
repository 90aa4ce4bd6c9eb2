"""Camera-like frames with one handwritten digit each, made from what scikit-learn ships.

The digits are the 1,797 real ones of `load_digits`, 8 x 8 cells of 0 to 16, and the backgrounds its
two photographs. Training and test share neither writers nor regions of a photograph.

Writers. scikit-learn ships only the test part of UCI's "Optical Recognition of Handwritten Digits",
written by 13 people, without writer ids. But the labels show the order: the same sequence of about
130 digits, the form that each writer filled in, repeats 14 times (it begins 0 to 9 three times over),
so each writer's digits are contiguous. We cut only where a form begins: nine forms for training, one
for validation, four for test. That is an inference from the labels, not documented by UCI. 14 forms
of 13 writers mean that one may have filled in two; the validation form lies between training and test
as a guard, so two neighbouring forms by one hand cannot straddle them.

Photographs. Training and validation crop the left 60 % of both, test the right 35 %, and nobody sees
the 5 % between.
"""

from __future__ import annotations

import io
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter
from sklearn.datasets import load_digits, load_sample_images

IMAGE_SIZE = 320
CELLS = 8  # a digit is CELLS x CELLS cells, padded by 2 on every side before it is drawn
FIELD_SIZE = 96  # the padded digit, interpolated smoothly to FIELD_SIZE x FIELD_SIZE
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


TRAIN = Split("train", range(0, 1157), (0.0, 0.6))
VALIDATION = Split("validation", range(1157, 1287), (0.0, 0.6))
TEST = Split("test", range(1287, 1797), (0.65, 1.0))


class FrameSource:
    """Draws frames of one split; the generator passed in decides everything that is random."""

    def __init__(self, split: Split) -> None:
        digits = load_digits()
        chosen = list(split.digits)
        self.labels: NDArray[np.int64] = digits.target[chosen].astype(np.int64)
        self._fields = [smooth_field(cells) for cells in digits.images[chosen]]
        self._photos = [crop_columns(photo, *split.columns) for photo in load_sample_images().images]

    def __len__(self) -> int:
        return len(self.labels)

    def frame(self, digit: int, rng: np.random.Generator) -> Frame:
        """One (320, 320, 3) uint8 RGB frame that shows the digit with this index in the split."""
        scene = background(self._photos[rng.integers(len(self._photos))], rng)
        scene = draw_digit(scene, self._fields[digit], rng)
        return photograph(scene, rng)


def smooth_field(cells: NDArray[np.float64]) -> Image.Image:
    """Ink density in 0..1 as a smooth float image, (FIELD_SIZE, FIELD_SIZE), from 8 x 8 cells."""
    padded = np.pad(cells / 16.0, 2).astype(np.float32)
    return Image.fromarray(padded).resize((FIELD_SIZE, FIELD_SIZE), Image.Resampling.BICUBIC)


def crop_columns(photo: Frame, left: float, right: float) -> Image.Image:
    """The columns between two fractions of a photograph's width, at full height."""
    width = photo.shape[1]
    return Image.fromarray(photo[:, round(left * width) : round(right * width)])


def background(photo: Image.Image, rng: np.random.Generator) -> Floats:
    """A random square of a photograph, perhaps mirrored, as (320, 320, 3) floats in 0..1."""
    side = rng.uniform(130, min(photo.size))
    left, top = rng.uniform(0, photo.width - side), rng.uniform(0, photo.height - side)
    box = (left, top, left + side, top + side)
    crop = photo.resize((IMAGE_SIZE, IMAGE_SIZE), Image.Resampling.BICUBIC, box=box)
    pixels = np.asarray(crop, np.float32) / 255.0
    return pixels[:, ::-1] if rng.random() < 0.5 else pixels


def random_pose(rng: np.random.Generator) -> tuple[NDArray[np.float64], float]:
    """A homography from frame pixels to field pixels, and the digit's height in frame pixels."""
    height = rng.uniform(80, 220)
    angle = np.deg2rad(rng.uniform(-18, 18))
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    shear = np.array([[rng.uniform(0.85, 1.15), rng.uniform(-0.2, 0.2)], [0.0, 1.0]])
    reach = np.abs(turn @ shear * height) @ np.array([0.36, 0.5])  # most digits are narrow
    low, high = reach, IMAGE_SIZE - reach
    pose = np.eye(3)
    pose[:2, :2] = turn @ shear * height
    pose[:2, 2] = [rng.uniform(a, b) if a < b else IMAGE_SIZE / 2 for a, b in zip(low, high)]
    tilt = np.eye(3)
    tilt[2, :2] = rng.uniform(-0.25, 0.25, 2)
    cell = FIELD_SIZE / (CELLS + 4)
    to_field = np.array([[cell * CELLS, 0, FIELD_SIZE / 2], [0, cell * CELLS, FIELD_SIZE / 2]])
    return np.vstack([to_field, [0, 0, 1]]) @ np.linalg.inv(pose @ tilt), height


def draw_digit(scene: Floats, field: Image.Image, rng: np.random.Generator) -> Floats:
    """The scene with the digit's strokes and their shadow on it, both (320, 320, 3) in 0..1."""
    pose, height = random_pose(rng)
    coefficients = (pose / pose[2, 2]).ravel()[:8]
    size = (IMAGE_SIZE, IMAGE_SIZE)
    density = np.asarray(
        field.transform(
            size, Image.Transform.PERSPECTIVE, coefficients.tolist(), Image.Resampling.BILINEAR
        )
    )
    edge = 10.0 / height  # the change of density over about two pixels: anti-aliased strokes
    strokes = np.clip((density - rng.uniform(0.36, 0.5)) / edge + 0.5, 0.0, 1.0)[..., None]
    under = (scene * strokes).sum((0, 1)) / (strokes.sum() + 1e-6)
    scene = scene * (1.0 - rng.uniform(0.0, 0.6) * cast_shadow(strokes, height, rng))
    opacity = rng.uniform(0.85, 1.0) * strokes
    return scene * (1.0 - opacity) + stroke_colour(under, rng) * opacity


def cast_shadow(strokes: Floats, height: float, rng: np.random.Generator) -> Floats:
    """The strokes blurred and shifted by up to 8 % of the digit's height, (320, 320, 1) in 0..1."""
    shift = np.rint(rng.uniform(-0.08, 0.08, 2) * height).astype(int)
    small = Image.fromarray((strokes[..., 0] * 255).astype(np.uint8)).reduce(2)
    blurred = small.filter(ImageFilter.GaussianBlur(rng.uniform(1.0, 5.0)))
    shadow = np.asarray(blurred.resize((IMAGE_SIZE, IMAGE_SIZE), Image.Resampling.BILINEAR))
    return np.roll(shadow, tuple(shift), (0, 1))[..., None].astype(np.float32) / 255.0


def stroke_colour(under: Floats, rng: np.random.Generator) -> Floats:
    """A colour whose luma differs by at least 0.3 from `under`, the mean RGB that it covers."""
    luma = float(under @ LUMA)
    darker, lighter = max(luma - 0.3, 0.0), min(luma + 0.3, 1.0)
    pick_dark = rng.random() < darker / (darker + 1.0 - lighter)
    wanted = rng.uniform(0.0, darker) if pick_dark else rng.uniform(lighter, 1.0)
    tint = rng.uniform(0.0, 1.0, 3).astype(np.float32)
    tint = 0.5 * (tint - tint @ LUMA) * min(wanted, 1.0 - wanted) * 2.0
    return np.clip(wanted + tint, 0.0, 1.0)


def photograph(scene: Floats, rng: np.random.Generator) -> Frame:
    """What a cheap camera makes of a scene: light fall-off, exposure, colour cast, blur, noise."""
    ramp = np.linspace(-0.5, 0.5, IMAGE_SIZE, dtype=np.float32)
    slope = rng.uniform(-0.35, 0.35, 2).astype(np.float32)
    light = 1.0 + slope[0] * ramp[:, None, None] + slope[1] * ramp[None, :, None]
    gains = (2.0 ** rng.uniform(-0.5, 0.4) * rng.uniform(0.9, 1.1, 3)).astype(np.float32)
    exposed = np.clip(scene * (light * gains), 0.0, 1.0)
    image = Image.fromarray((exposed * 255.0 + 0.5).astype(np.uint8))
    blurred = np.asarray(image.filter(ImageFilter.GaussianBlur(rng.uniform(0.3, 1.3))), np.float32)
    noise = rng.standard_normal(blurred.shape, np.float32) * np.float32(rng.uniform(1.0, 5.0))
    return np.clip(blurred + noise + 0.5, 0, 255).astype(np.uint8)


def encode_jpeg(frame: Frame, quality: int) -> bytes:
    """JPEG with 4:2:0 chroma, as cameras send it."""
    buffer = io.BytesIO()
    Image.fromarray(frame).save(buffer, "JPEG", quality=quality, subsampling="4:2:0")
    return buffer.getvalue()


def decode_jpeg(data: bytes) -> Frame:
    """(H, W, 3) uint8 RGB."""
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))


def normalise(frames: Frame) -> Floats:
    """(N, H, W, 3) uint8 -> the network's input, (N, 3, H, W) float32 by ImageNet's mean and std."""
    scaled = (frames.astype(np.float32) / 255.0 - IMAGENET_MEAN) / IMAGENET_STD
    return np.ascontiguousarray(scaled.transpose(0, 3, 1, 2))
