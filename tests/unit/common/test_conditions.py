"""Conditions keep their time while their status stays, and never exceed what the API server accepts."""

from datetime import UTC, datetime, timedelta, timezone

from retrainer.conditions import (
    changed,
    drop_condition,
    get_condition,
    is_false,
    is_true,
    set_condition,
    set_reconciling,
    set_settled,
    set_stalled,
    timestamp,
)

NOON = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
LATER = NOON + timedelta(minutes=5)


def test_a_new_condition_is_appended_with_the_time_of_now():
    result = set_condition(None, "Ready", "True", "Synced", "read", NOON, 3)
    assert result == [
        {
            "type": "Ready",
            "status": "True",
            "reason": "Synced",
            "message": "read",
            "lastTransitionTime": "2026-11-21T12:00:00Z",
            "observedGeneration": 3,
        }
    ]


def test_the_transition_time_is_kept_while_the_status_stays_even_if_the_reason_changes():
    first = set_condition([], "Ready", "False", "Unreachable", "a", NOON, 1)
    second = set_condition(first, "Ready", "False", "Unauthorized", "b", LATER, 2)
    assert second[0]["lastTransitionTime"] == "2026-11-21T12:00:00Z"
    assert (second[0]["reason"], second[0]["message"], second[0]["observedGeneration"]) == ("Unauthorized", "b", 2)


def test_the_transition_time_moves_when_the_status_changes():
    first = set_condition([], "Ready", "False", "Unreachable", "a", NOON, 1)
    assert set_condition(first, "Ready", "True", "Synced", "", LATER, 1)[0]["lastTransitionTime"] == timestamp(LATER)


def test_setting_the_same_again_later_changes_nothing():
    first = set_condition([], "Ready", "True", "Synced", "m", NOON, 1)
    assert set_condition(first, "Ready", "True", "Synced", "m", LATER, 1) == first


def test_the_input_is_not_modified_and_the_order_is_kept():
    first = set_condition(set_condition([], "A", "True", "X", "", NOON, 1), "B", "True", "X", "", NOON, 1)
    second = set_condition(first, "A", "False", "Y", "", LATER, 1)
    assert [c["type"] for c in second] == ["A", "B"]
    assert first[0]["status"] == "True"


def test_a_message_is_cut_to_1024_characters():
    message = set_condition([], "Ready", "True", "X", "é" * 2000, NOON, 1)[0]["message"]
    assert len(message) == 1024
    assert message.endswith("…")


def test_times_are_written_in_utc():
    assert timestamp(datetime(2026, 1, 1, 1, 0, tzinfo=timezone(timedelta(hours=2)))) == "2025-12-31T23:00:00Z"


def test_stalled_and_reconciling_exclude_each_other_and_settled_removes_both():
    base = set_condition([], "Ready", "True", "Synced", "", NOON, 1)
    reconciling = set_reconciling(base, "Creating", "", NOON, 1)
    stalled = set_stalled(reconciling, "NameConflict", "", NOON, 1)
    assert is_true(reconciling, "Reconciling")
    assert is_true(stalled, "Stalled") and get_condition(stalled, "Reconciling") is None
    assert get_condition(set_reconciling(stalled, "Creating", "", NOON, 1), "Stalled") is None
    assert set_settled(stalled) == base


def test_an_absent_condition_is_neither_true_nor_false():
    assert not is_true([], "Ready")
    assert not is_false(None, "Ready")
    assert is_false(set_condition([], "Ready", "False", "X", "", NOON, 1), "Ready")


def test_changed_looks_at_status_and_reason_only():
    first = set_condition([], "Ready", "True", "Synced", "one", NOON, 1)
    assert not changed(first, set_condition(first, "Ready", "True", "Synced", "two", LATER, 2), "Ready")
    assert changed(first, set_condition(first, "Ready", "True", "NoRecords", "one", LATER, 1), "Ready")
    assert changed([], first, "Ready")
    assert changed(first, drop_condition(first, "Ready"), "Ready")
    assert not changed([], [], "Ready")
