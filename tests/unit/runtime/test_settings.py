"""The environment becomes one typed object; what cannot be used is refused by the name of its variable."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import pytest

from retrainer.settings import Settings

PREFIX = "RETRAINER_"


def read(**environment: str) -> Settings:
    return Settings.from_environment(environment)


def test_the_defaults_suit_a_pod_of_one_namespace() -> None:
    settings = read(POD_NAMESPACE="team", POD_NAME="retrainer-0")
    assert settings.namespaces == ("team",)
    assert settings.lease_namespace == "team"
    assert settings.lease_name == "retrainer-operator"
    assert settings.lease_seconds == 15
    assert settings.identity == "retrainer-0"
    assert settings.data_root is None
    assert settings.health_port == 8080
    assert settings.source_timeout_seconds == 30
    assert settings.resync_seconds == 300


def test_several_namespaces_are_separated_by_commas_and_spaces_do_not_matter() -> None:
    settings = read(RETRAINER_NAMESPACES=" a, b ,,c")
    assert settings.namespaces == ("a", "b", "c")
    assert settings.lease_namespace == "a"


def test_every_variable_takes_effect() -> None:
    settings = read(
        RETRAINER_NAMESPACES="a",
        RETRAINER_LEASE_NAMESPACE="system",
        RETRAINER_LEASE_NAME="one",
        RETRAINER_LEASE_SECONDS="4",
        RETRAINER_DATA_ROOT="/data",
        RETRAINER_TRAINER_IMAGE="trainer:1",
        RETRAINER_BIND_ADDRESS="127.0.0.1",
        RETRAINER_HEALTH_PORT="0",
        RETRAINER_SOURCE_TIMEOUT_SECONDS="2.5",
        RETRAINER_RESYNC_SECONDS="60",
        RETRAINER_ALLOW_LOOPBACK="true",
    )
    assert (settings.lease_namespace, settings.lease_name, settings.lease_seconds) == ("system", "one", 4)
    assert (settings.data_root, settings.trainer_image) == (Path("/data"), "trainer:1")
    assert (settings.bind_address, settings.health_port) == ("127.0.0.1", 0)
    assert (settings.source_timeout_seconds, settings.resync_seconds) == (2.5, 60.0)
    assert settings.allow_loopback and not read(POD_NAMESPACE="n").allow_loopback


def test_an_empty_variable_is_one_that_is_not_set() -> None:
    settings = read(RETRAINER_LEASE_SECONDS="", RETRAINER_DATA_ROOT="", RETRAINER_LEASE_NAMESPACE="", POD_NAMESPACE="n")
    assert (settings.lease_seconds, settings.data_root, settings.lease_namespace) == (15, None, "n")


def test_without_a_pod_name_two_processes_of_one_machine_are_told_apart() -> None:
    assert read().identity.rpartition("-")[2].isdigit()


@pytest.mark.parametrize(
    ("variable", "value", "words"),
    [
        ("LEASE_SECONDS", "soon", "must be a number, not 'soon'"),
        ("LEASE_SECONDS", "nan", "must be a number, not 'nan'"),
        ("LEASE_SECONDS", "0", "must be at least 2"),
        ("HEALTH_PORT", "-1", "must be at least 0"),
        ("SOURCE_TIMEOUT_SECONDS", "0", "must be at least 0.1"),
        ("RESYNC_SECONDS", "inf", "must be a number, not 'inf'"),
        ("RESYNC_SECONDS", "0", "must be at least 1"),
        ("ALLOW_LOOPBACK", "yes", "must be true or false, not 'yes'"),
    ],
)
def test_a_value_that_cannot_be_used_is_refused_by_name(variable: str, value: str, words: str) -> None:
    with pytest.raises(ValueError, match=f"{PREFIX}{variable} {words}"):
        read(**{PREFIX + variable: value})


def test_every_setting_names_its_variable() -> None:
    source = Path(__file__).resolve().parents[3] / "operator" / "retrainer" / "settings.py"
    text = source.read_text(encoding="utf-8")
    for field in fields(Settings):
        docstring = text.split(f"    {field.name}:")[1].split('"""')[1]
        assert PREFIX in docstring or "POD_NAME" in docstring, field.name
