"""The division of the images."""

from collections import Counter

import pytest

from demo import digits
from demo.digits import Image, divide


def test_the_sets_have_no_image_in_common() -> None:
    images = digits.load(80, 1200, seed=4)
    assert (len(images.first), len(images.history), len(images.live)) == (80, 1200, 517)
    assert len({i.pixels for part in (images.first, images.history, images.live) for i in part}) == 1797


def test_the_first_images_hold_every_digit_equally_often() -> None:
    assert set(Counter(i.digit for i in digits.load(80, 1200, seed=4).first).values()) == {8}


def test_the_same_seed_gives_the_same_division_and_another_seed_another() -> None:
    assert digits.load(80, 1200, seed=4) == digits.load(80, 1200, seed=4)
    assert digits.load(80, 1200, seed=4).history != digits.load(80, 1200, seed=5).history


def test_pixels_are_what_the_model_was_trained_on() -> None:
    image = digits.load(80, 1200, seed=4).live[0]
    assert len(image.pixels) == digits.PIXELS
    assert all(0 <= p <= 16 for p in image.pixels)


def test_too_few_images_for_live_traffic_are_refused() -> None:
    images = [Image((n,), str(n % 2)) for n in range(10)]
    with pytest.raises(ValueError, match="none live"):
        divide(images, first=4, history=6)
