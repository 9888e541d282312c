"""The picture: its limits, its steps, and that a file comes out whatever happened."""

from pathlib import Path

import pytest
from unit.demo.demo_sights import START

from demo.plot import Caption, draw, effect_limits, span, steps
from demo.record import Record, Sample

RAMP = [
    Sample(60.0, 10),
    Sample(65.0, 10, 0.1, -1.0, 0.9, 150),
    Sample(75.0, 25, 0.2, -0.1, 0.5, 400),
    Sample(85.0, 50, 0.18, 0.02, 0.3, 700),
    Sample(95.0, 100, 0.17, 0.05, 0.27, 900),
]
PNG = b"\x89PNG\r\n"


def record(samples: list[Sample]) -> Record:
    return Record(START, {"decision/digits-2": 90.0, "data/digits-2": 20.0}, {}, samples)


@pytest.mark.parametrize("samples", [RAMP, RAMP[:1], []], ids=["a ramp", "no window yet", "no experiment"])
def test_a_picture_comes_out(tmp_path: Path, samples: list[Sample]) -> None:
    path = tmp_path / "new" / "story.png"
    draw(path, record(samples), Caption("A title", "PromoteCandidate", "better", 0.1))
    assert path.read_bytes().startswith(PNG)
    assert path.stat().st_size > 10_000


def test_the_rises_of_the_weight_are_marked_and_its_fall_is_not() -> None:
    assert steps(RAMP) == [(60.0, 10), (75.0, 25), (85.0, 50), (95.0, 100)]
    assert steps([Sample(1.0, 10), Sample(2.0, 0), Sample(3.0, 0)]) == [(1.0, 10)]


def test_the_picture_spans_the_experiment() -> None:
    assert span(record(RAMP)) == (58.0, 97.0)
    assert span(record([])) == (18.0, 92.0)
    assert span(Record(START)) == (-2.0, 18.0)


def test_the_wide_intervals_of_the_beginning_do_not_set_the_scale() -> None:
    assert effect_limits(RAMP[1:]) == pytest.approx((-15.0, 42.0))


def test_a_bad_candidate_s_effect_is_all_in_the_picture() -> None:
    worse = [Sample(65.0, 10, -0.35, -1.0, 0.2, 150), Sample(75.0, 10, -0.2, -0.3, -0.01, 300)]
    assert effect_limits(worse) == pytest.approx((-50.0, 15.0))
