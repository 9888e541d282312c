"""The data: scikit-learn's bundled images of handwritten digits, divided into first, history and live."""

from __future__ import annotations

from dataclasses import dataclass

PIXELS = 64
"""An image is 8 × 8 pixels with values from 0 to 16; they are the model's features f0 … f63."""


@dataclass(frozen=True)
class Image:
    """One image and what is really on it."""

    pixels: tuple[int, ...]
    digit: str


@dataclass(frozen=True)
class Images:
    """Three sets without an image in common."""

    first: tuple[Image, ...]
    """What the first champion learns from; every digit equally often."""
    history: tuple[Image, ...]
    """What people sent in the days before."""
    live: tuple[Image, ...]
    """What people send now: never part of any training window."""


def load(first: int, history: int, seed: int) -> Images:
    """Divide the 1,797 images; the same seed gives the same division.

    Raises ValueError where too few images are left for live traffic.
    """
    import numpy
    from sklearn.datasets import load_digits

    pixels, digits = load_digits(return_X_y=True)
    order = numpy.random.default_rng(seed).permutation(len(digits))
    images = [Image(tuple(int(p) for p in pixels[i]), str(digits[i])) for i in order]
    return divide(images, first, history)


def divide(images: list[Image], first: int, history: int) -> Images:
    """The first images are balanced over the digits, the others keep their order."""
    classes = sorted({image.digit for image in images})
    share = first // len(classes)
    beginning = [i for digit in classes for i in [i for i in images if i.digit == digit][:share]]
    chosen = {id(image) for image in beginning}
    rest = [image for image in images if id(image) not in chosen]
    if len(rest) <= history:
        raise ValueError(f"{len(images)} images are too few: {len(beginning)} first, {history} history, none live")
    return Images(tuple(beginning), tuple(rest[:history]), tuple(rest[history:]))
