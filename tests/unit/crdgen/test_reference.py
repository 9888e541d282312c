"""The reference pages name every field, column and reason, with what they mean."""

from __future__ import annotations

import pytest

from retrainer.api.v1alpha1 import KINDS
from retrainer.api.v1alpha1.kind import Kind
from retrainer.crdgen.__main__ import reason_docs
from retrainer.crdgen.reference import REASONS, reference_page

each_kind = pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.kind)


def page(kind: Kind) -> str:
    return reference_page(kind, reason_docs(REASONS[kind.kind]))


@each_kind
def test_every_reason_is_documented(kind: Kind) -> None:
    docs = reason_docs(REASONS[kind.kind])
    assert set(docs) == {str(reason) for reason in REASONS[kind.kind]}
    assert [reason for reason, text in docs.items() if len(text) < 5] == []
    text = page(kind)
    assert [reason for reason in docs if f"| `{reason}` |" not in text] == []


@each_kind
def test_every_field_of_spec_and_status_has_a_row(kind: Kind) -> None:
    text = page(kind)
    for field in (*kind.spec.model_fields.values(), *kind.status.model_fields.values()):
        assert f"| `{field.alias}` |" in text


@each_kind
def test_every_column_is_named_as_kubectl_prints_it(kind: Kind) -> None:
    text = page(kind)
    assert [c.name for c in kind.columns if f"| {c.name.upper()}" not in text] == []


def test_a_row_gives_type_bounds_default_and_rules() -> None:
    source = page(KINDS[0])
    assert "| `syncIntervalSeconds` | integer 10..86400 | `300` | Seconds between two looks at the source. |" in source
    assert "| `signals[].name` | string (≤ 63) | required |" in source
    assert "*Set exactly one of table and query.*" in source


def test_no_cell_breaks_its_table() -> None:
    for kind in KINDS:
        for line in page(kind).splitlines():
            if line.startswith("| `"):
                cells = line.replace("\\|", "").count("|")
                assert cells in (3, 5), line


def test_docstrings_of_reasons_are_read_from_the_source() -> None:
    docs = reason_docs(REASONS["FeedbackSource"])
    assert docs["Synced"] == "Ready=True: read to the end."
