"""The hash that assigns users: published vectors, exact bounds, nested and even cohorts."""

from __future__ import annotations

import hashlib
import json
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from retrainer.routing.assignment import assign, bucket, point

DOCS = Path(__file__).resolve().parents[3] / "docs"
VECTORS = json.loads((DOCS / "assignment-vectors.json").read_text(encoding="utf-8"))
SALTS = st.text(min_size=1, max_size=63, alphabet="abcXYZ019-_.:")
UNITS = st.text(max_size=40)
WEIGHTS = st.integers(0, 100)
few = settings(max_examples=30)


@pytest.mark.parametrize("vector", VECTORS, ids=lambda v: f"{v['salt']}/{v['unit'][:20]}")
def test_a_published_vector_is_reproduced(vector):
    assert f"{point(vector['salt'], vector['unit']):016x}" == vector["first8"]
    assert bucket(vector["salt"], vector["unit"]) == vector["bucket"]


def test_the_vectors_cover_the_edges_and_texts_beyond_ascii():
    assert {0, 1, 49, 50, 98, 99} <= {v["bucket"] for v in VECTORS}
    units = {v["unit"] for v in VECTORS}
    assert "" in units and any(ord(c) > 0xFFFF for u in units for c in u) and any("\0" in u for u in units)


def test_the_code_in_the_documentation_is_this_function():
    text = (DOCS / "assignment.md").read_text(encoding="utf-8")
    code = text.split("```python\n")[1].split("```")[0]
    names: dict = {}
    exec(code, names)  # noqa: S102 - the documentation is ours
    for v in VECTORS:
        for weight in (v["bucket"], v["bucket"] + 1):
            expected = weight > v["bucket"]
            assert names["is_candidate"](v["salt"], v["unit"], weight) is expected
            assert (assign(v["salt"], v["unit"], weight) == "candidate") is expected


@few
@given(SALTS, UNITS, WEIGHTS)
def test_it_is_exactly_the_hash_below_the_weight(salt, unit, weight):
    digest = hashlib.sha256(salt.encode() + b"\0" + unit.encode()).digest()
    share = Fraction(int.from_bytes(digest[:8], "big"), 2**64)
    assert (assign(salt, unit, weight) == "candidate") is (share < Fraction(weight, 100))


@few
@given(SALTS, UNITS, WEIGHTS, WEIGHTS)
def test_cohorts_are_nested(salt, unit, one, other):
    low, high = sorted((one, other))
    if assign(salt, unit, low) == "candidate":
        assert assign(salt, unit, high) == "candidate"


@few
@given(SALTS, UNITS)
def test_nobody_is_a_candidate_at_0_and_everybody_at_100(salt, unit):
    assert assign(salt, unit, 0) == "baseline" and assign(salt, unit, 100) == "candidate"


def test_salt_and_unit_are_told_apart():
    assert point("ab", "c") != point("a", "bc")


@pytest.mark.parametrize("salt", ["tutor-4", "tutor-5"])
def test_users_fall_evenly_into_all_per_cents(salt):
    users = 20_000
    counts = [0] * 100
    for number in range(users):
        counts[bucket(salt, f"user-{number}")] += 1
    expected = users / 100
    chi_squared = sum((count - expected) ** 2 / expected for count in counts)
    # 99 degrees of freedom: 0.01 % and 99.99 % quantiles.
    assert 54.1 < chi_squared < 161.4


def test_another_salt_divides_independently():
    users = [f"user-{number}" for number in range(20_000)]
    both = sum(assign("a", u, 50) == assign("b", u, 50) == "candidate" for u in users)
    # A quarter, ± 4 standard deviations of a binomial.
    assert abs(both - 5_000) < 4 * (20_000 * 0.25 * 0.75) ** 0.5


@pytest.mark.parametrize("weight", [-1, 101])
def test_what_is_no_percentage_is_refused(weight):
    with pytest.raises(ValueError, match="percentage"):
        assign("s", "u", weight)
