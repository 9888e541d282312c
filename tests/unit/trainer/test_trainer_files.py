"""Artifacts, checkpoints and addresses: atomic, verified, inside their folder."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from retrainer.api.v1alpha1.run_contract import RunConfig
from tests.unit.trainer.trainer_world import World
from trainer.artifact import MANIFEST, Artifact, open_artifact, publish_artifact
from trainer.checkpoint import Checkpoints, Part, open_checkpoints
from trainer.digest import canonical_json, dataset_digest, fraction, sha256_of
from trainer.errors import ConfigurationError
from trainer.places import contained, local_path, partial_folder, publish, read_bounded, write_atomically

FILES = {"weights/digit.ubj": b"\x01" * 5000, "schema.json": b"{}", "README.md": b"# card"}


def published(folder: Path) -> Artifact:
    return publish_artifact(folder / "artifacts", FILES, {"model": "digits"})


def reopened(artifact: Artifact) -> Artifact:
    return open_artifact(artifact.folder, artifact.digest, "spec.champion")


def test_an_artifact_lies_under_the_digest_of_its_manifest(tmp_path: Path) -> None:
    artifact = published(tmp_path)
    assert artifact.folder.name == artifact.digest.removeprefix("sha256:")
    assert sha256_of((artifact.folder / MANIFEST).read_bytes()) == artifact.digest
    assert artifact.size_bytes == sum(map(len, FILES.values()))
    assert {name: reopened(artifact).read(name) for name in FILES} == FILES
    assert not list(tmp_path.rglob(".partial-*"))


def test_publishing_twice_changes_nothing(tmp_path: Path) -> None:
    first = published(tmp_path)
    stamp = (first.folder / MANIFEST).stat().st_mtime_ns
    assert published(tmp_path).digest == first.digest
    assert (first.folder / MANIFEST).stat().st_mtime_ns == stamp


@given(st.integers(0, 10**6), st.sampled_from([*FILES, MANIFEST]))
@settings(max_examples=25, deadline=None)
def test_any_flipped_bit_is_noticed(tmp_path_factory: pytest.TempPathFactory, place: int, name: str) -> None:
    artifact = published(tmp_path_factory.mktemp("flip"))
    content = bytearray((artifact.folder / name).read_bytes())
    content[place // 8 % len(content)] ^= 1 << place % 8
    (artifact.folder / name).write_bytes(bytes(content))
    with pytest.raises(ConfigurationError):
        reopened(artifact).verify()


def test_a_file_that_grew_or_is_gone_is_noticed(tmp_path: Path) -> None:
    artifact = published(tmp_path)
    path = artifact.folder / "schema.json"
    path.write_bytes(b"{} ")
    with pytest.raises(ConfigurationError, match=r"schema\.json is missing or was changed"):
        reopened(artifact).read("schema.json")
    path.unlink()
    with pytest.raises(ConfigurationError, match="missing"):
        reopened(artifact).read("schema.json")
    with pytest.raises(ConfigurationError, match="no file"):
        reopened(artifact).read("other")


def test_a_link_in_place_of_a_file_is_not_followed(tmp_path: Path) -> None:
    artifact = published(tmp_path)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.write_bytes(FILES["schema.json"])
    (artifact.folder / "schema.json").unlink()
    (artifact.folder / "schema.json").symlink_to(elsewhere)
    with pytest.raises(ConfigurationError):
        reopened(artifact).read("schema.json")


def test_no_manifest_no_artifact(tmp_path: Path) -> None:
    artifact = published(tmp_path)
    with pytest.raises(ConfigurationError, match="another digest"):
        open_artifact(artifact.folder, "sha256:" + "0" * 64, "spec.champion")
    (artifact.folder / MANIFEST).unlink()
    with pytest.raises(ConfigurationError, match=r"spec\.champion: there is no artifact"):
        reopened(artifact)


@pytest.mark.parametrize("name", ["../secret", "/etc/passwd", "a/../../b", "", "a\0b", "a\\b"])
def test_a_name_cannot_leave_its_folder(tmp_path: Path, name: str) -> None:
    with pytest.raises(ValueError, match="relative"):
        contained(tmp_path, name)


def test_a_name_cannot_go_through_a_link(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    with pytest.raises(ValueError, match="link"):
        contained(tmp_path, "link/file")
    assert contained(tmp_path, "real/file") == tmp_path / "real" / "file"


def test_only_local_addresses_are_read(tmp_path: Path) -> None:
    assert local_path("file:///models/a%20b/", "x") == Path("/models/a b")
    for address in ("s3://bucket/x", "file://host/x", "/models", "http://h/x", "file:///a%00b"):
        with pytest.raises(ConfigurationError, match=r"^spec\.output\.uri"):
            local_path(address, "spec.output.uri")


def test_reading_refuses_what_is_too_large_or_no_file(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"12345")
    assert read_bounded(path, 5) == b"12345"
    with pytest.raises(ValueError, match="larger"):
        read_bounded(path, 4)
    with pytest.raises(ValueError, match="regular"):
        read_bounded(tmp_path, 5)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ValueError, match="regular"):
        read_bounded(tmp_path / "pipe", 5)
    (tmp_path / "link").symlink_to(path)
    with pytest.raises(OSError, match="link"):
        read_bounded(tmp_path / "link", 5)


def test_a_failed_publication_leaves_nothing_behind(tmp_path: Path) -> None:
    def fail() -> None:
        with partial_folder(tmp_path) as folder:
            (folder / "file").write_bytes(b"x")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert list(tmp_path.iterdir()) == []


def test_of_two_that_publish_the_same_the_first_wins(tmp_path: Path) -> None:
    target = tmp_path / "abc"
    for content in (b"first", b"second"):
        with partial_folder(tmp_path) as folder:
            (folder / "file").write_bytes(content)
            publish(folder, target)
    assert (target / "file").read_bytes() == b"first"
    assert [path.name for path in tmp_path.iterdir()] == ["abc"]


def test_a_file_is_replaced_as_a_whole(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "state.json"
    write_atomically(path, b"one")
    write_atomically(path, b"two")
    assert path.read_bytes() == b"two"
    assert [p.name for p in path.parent.iterdir()] == ["state.json"]


def config_of(world: World, **changes: object) -> RunConfig:
    return RunConfig.model_validate(world.config(**changes))


def saved(world: World) -> Checkpoints:
    checkpoints = open_checkpoints(config_of(world), "sha256:1")
    checkpoints.save("digit", Part(b"one", (0.5,), False))
    checkpoints.save("digit", Part(b"two", (0.5, 0.4), False))
    return checkpoints


def test_a_checkpoint_is_found_by_the_next_attempt(world: World) -> None:
    saved(world)
    retry = RunConfig.model_validate({**world.config(), "attempt": 2})
    assert open_checkpoints(retry, "sha256:1").parts["digit"] == Part(b"two", (0.5, 0.4), False)


def test_a_damaged_checkpoint_falls_back_to_the_one_before(world: World) -> None:
    folder = saved(world).folder
    newest = json.loads((folder / "state.json").read_text())["parts"]["digit"]["sha256"]
    (folder / f"{newest}.ubj").write_bytes(b"twO")
    assert open_checkpoints(config_of(world), "sha256:1").parts["digit"] == Part(b"one", (0.5,), False)
    (folder / "state.json").write_text("{")
    assert open_checkpoints(config_of(world), "sha256:1").parts["digit"].weights == b"one"
    (folder / "state.previous.json").unlink()
    assert open_checkpoints(config_of(world), "sha256:1").parts == {}


def test_a_checkpoint_of_other_settings_or_data_is_not_used(world: World) -> None:
    saved(world)
    assert open_checkpoints(config_of(world), "sha256:2").parts == {}
    assert open_checkpoints(config_of(world, method={"trees": 9}), "sha256:1").parts == {}
    more_memory = config_of(world, job={"resources": {"memory": "64Gi"}})
    assert "digit" in open_checkpoints(more_memory, "sha256:1").parts


def test_old_weights_are_swept_and_a_finished_run_leaves_none(world: World) -> None:
    checkpoints = saved(world)
    checkpoints.save("digit", Part(b"three", (0.5, 0.4, 0.3), True))
    assert len(list(checkpoints.folder.glob("*.ubj"))) == 2
    checkpoints.discard()
    assert not checkpoints.folder.exists()
    checkpoints.discard()


@given(st.lists(st.binary(min_size=32, max_size=32), max_size=20), st.randoms(use_true_random=False))
@settings(max_examples=30, deadline=None)
def test_the_digest_of_a_data_set_is_one_of_a_multiset(rows: list[bytes], shuffler: object) -> None:
    shuffled = list(rows)
    shuffler.shuffle(shuffled)  # type: ignore[attr-defined]
    assert dataset_digest({}, shuffled) == dataset_digest({}, rows)
    assert dataset_digest({}, [*rows, b"x" * 32]) != dataset_digest({}, rows)
    assert dataset_digest({"window": 1}, rows) != dataset_digest({}, rows)


@given(st.text(), st.text())
@settings(max_examples=30, deadline=None)
def test_a_fraction_depends_on_its_parts_alone(one: str, other: str) -> None:
    assert 0 <= fraction(one, other) < 1
    assert fraction(one, other) == fraction(one, other)
    assert fraction(one + other) != fraction(one, other)


def test_canonical_json_has_one_spelling() -> None:
    assert canonical_json({"b": 1, "a": [1.5, "é"]}) == canonical_json({"a": [1.5, "é"], "b": 1})
    with pytest.raises(ValueError, match="JSON compliant"):
        canonical_json({"a": float("nan")})
