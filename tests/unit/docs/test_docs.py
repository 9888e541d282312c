"""The documentation against the repository: links, examples, commands, and the reasons that conditions show."""

from __future__ import annotations

import re
from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path

import pytest
import yaml

from retrainer.api.v1alpha1 import KINDS
from retrainer.api.v1alpha1.ab_experiment import ExperimentReason
from retrainer.api.v1alpha1.feedback_source import SourceReason
from retrainer.api.v1alpha1.retrain_policy import PolicyReason
from retrainer.api.v1alpha1.training_run import RunReason
from retrainer.feedback.quality import Quarantine
from retrainer.settings import Settings

ROOT = Path(__file__).resolve().parents[3]
DOCS = ROOT / "docs"
PAGES = sorted(p for p in (*ROOT.glob("*.md"), *DOCS.rglob("*.md"), ROOT / "devcluster" / "README.md"))
BY_HAND = [p for p in PAGES if "reference" not in p.parts]
KIND_PAGES: dict[str, type[StrEnum]] = {
    "feedbacksource.md": SourceReason,
    "retrainpolicy.md": PolicyReason,
    "trainingrun.md": RunReason,
    "abexperiment.md": ExperimentReason,
}
MODELS = {kind.kind: kind for kind in KINDS}

_LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")
_FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_REASON_CELL = re.compile(r"^\| ((?:`[A-Za-z]+`(?:, )?)+)[^|]*\|", re.MULTILINE)
_WORD = re.compile(r"`([A-Z][A-Za-z]+)`")


def named(path: Path) -> str:
    return str(path.relative_to(ROOT))


def prose(text: str) -> str:
    """The page without its code blocks."""
    return _FENCE.sub("", text)


def blocks(text: str, language: str) -> Iterator[str]:
    """The code blocks of one language."""
    return (body for found, body in _FENCE.findall(text) if found == language)


def anchors(text: str) -> set[str]:
    """Names of the headings, as repositories on the web make them."""
    titles = re.findall(r"^#+ (.+)$", prose(text), re.MULTILINE)
    plain = (re.sub(r"[^\w\- ]", "", title.lower()) for title in titles)
    return {title.strip().replace(" ", "-") for title in plain}


def relative_links() -> Iterator[tuple[Path, str]]:
    for page in PAGES:
        for target in _LINK.findall(prose(page.read_text(encoding="utf-8"))):
            if not re.match(r"[a-z]+:", target):
                yield page, target


def broken(page: Path, link: str) -> str | None:
    """What is wrong with a relative link, or None."""
    path, _, anchor = link.partition("#")
    target = (page.parent / path).resolve() if path else page
    if not target.exists():
        return "no such file"
    if not target.is_relative_to(ROOT):
        return "leaves the repository"
    if anchor and anchor not in anchors(target.read_text(encoding="utf-8")):
        return f"no such heading; there is {', '.join(sorted(anchors(target.read_text(encoding='utf-8'))))}"
    return None


def objects_of(text: str) -> Iterator[dict[str, object]]:
    for body in blocks(text, "yaml"):
        yield from (obj for obj in yaml.safe_load_all(body) if obj)


def our_objects() -> list[tuple[str, dict[str, object]]]:
    """Objects of our kinds in pages and in the tutorial's files."""
    found = [(named(page), obj) for page in BY_HAND for obj in objects_of(page.read_text(encoding="utf-8"))]
    for path in sorted((DOCS / "tutorial").glob("*.yaml")):
        found += [(named(path), obj) for obj in yaml.safe_load_all(path.read_text(encoding="utf-8")) if obj]
    return [(place, obj) for place, obj in found if str(obj.get("apiVersion", "")).startswith("retrainer.dev")]


OURS = our_objects()


def make_targets() -> set[str]:
    return set(re.findall(r"^([a-z][a-z-]*):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))


def reasons_explained(text: str) -> set[str]:
    """Reasons in the first column of a table."""
    return {reason for cell in _REASON_CELL.findall(text) for reason in _WORD.findall(cell)}


def test_there_are_pages_and_examples_to_check():
    assert {named(p) for p in PAGES} >= {"README.md", "docs/tutorial.md", "docs/concepts.md", "docs/operations.md"}
    assert {obj["kind"] for _, obj in OURS} == set(MODELS)


@pytest.mark.parametrize(("page", "link"), [pytest.param(p, x, id=f"{named(p)}→{x}") for p, x in relative_links()])
def test_every_relative_link_leads_somewhere(page: Path, link: str):
    assert broken(page, link) is None


def test_a_broken_link_would_be_noticed():
    page = DOCS / "concepts.md"
    assert broken(page, "nowhere.md") == "no such file"
    assert str(broken(page, "#no-such-heading")).startswith("no such heading")
    assert broken(page, "#records-and-signals") is None


@pytest.mark.parametrize(("place", "obj"), [pytest.param(p, o, id=f"{p}:{o['kind']}") for p, o in OURS])
def test_every_example_is_valid(place: str, obj: dict[str, object]):
    kind = MODELS[str(obj["kind"])]
    assert obj["apiVersion"] == kind.api_version
    kind.spec.model_validate(obj["spec"])


@pytest.mark.parametrize("page", BY_HAND, ids=named)
def test_every_make_target_exists(page: Path):
    text = page.read_text(encoding="utf-8")
    in_code = "\n".join(re.findall(r"`[^`\n]+`", text)) + "\n".join(body for _, body in _FENCE.findall(text))
    mentioned = set(re.findall(r"\bmake ([a-z][a-z-]+)", in_code))
    assert mentioned <= make_targets()


@pytest.mark.parametrize(("page", "reasons"), KIND_PAGES.items(), ids=KIND_PAGES)
def test_every_reason_is_explained_on_its_kinds_page(page: str, reasons: type[StrEnum]):
    explained = reasons_explained((DOCS / page).read_text(encoding="utf-8"))
    assert {reason.value for reason in reasons} - explained == set()


def known_words() -> set[str]:
    """What the trainer and other parts put beside the reasons into a first column."""
    from trainer.rows import Drop

    blocked = {"UnknownTrainedThrough", "ChampionSchemaDiffers", "LabelsDependOnChampion", "NoIndependentRows"}
    return blocked | {drop.value for drop in Drop} | {quarantine.value for quarantine in Quarantine}


@pytest.mark.parametrize(("page", "reasons"), KIND_PAGES.items(), ids=KIND_PAGES)
def test_no_page_explains_a_reason_that_does_not_exist(page: str, reasons: type[StrEnum]):
    explained = reasons_explained((DOCS / page).read_text(encoding="utf-8"))
    assert explained - {reason.value for reason in reasons} - known_words() == set()


def test_the_reasons_why_rows_and_records_are_left_out_are_listed():
    from trainer.rows import Drop

    run = (DOCS / "trainingrun.md").read_text(encoding="utf-8")
    source = (DOCS / "feedbacksource.md").read_text(encoding="utf-8")
    assert {drop.value for drop in Drop} - set(_WORD.findall(run)) == set()
    assert {quarantine.value for quarantine in Quarantine} - set(_WORD.findall(source)) == set()


def test_every_setting_of_the_operator_is_documented():
    documented = set(re.findall(r"`([A-Z_]+)`", (DOCS / "operations.md").read_text(encoding="utf-8")))
    source = Path(str(__import__("retrainer.settings", fromlist=["x"]).__file__)).read_text(encoding="utf-8")
    variables = set(re.findall(r'"((?:RETRAINER|POD)_[A-Z_]+)"', source))
    assert variables - documented == set()
    assert Settings.from_environment({}).health_port == 8080


def test_every_metric_is_documented():
    documented = set(re.findall(r"`(retrainer_[a-z_]+)`", (DOCS / "operations.md").read_text(encoding="utf-8")))
    source = (ROOT / "operator" / "retrainer" / "runtime" / "metrics.py").read_text(encoding="utf-8")
    instruments = set(re.findall(r'"(retrainer_\w+)"', source))
    exposed = instruments - {"retrainer_reconcile"} | {"retrainer_reconcile_total"}  # as a counter shows itself
    assert exposed == documented


def test_the_tutorial_names_only_files_that_are_there():
    text = (DOCS / "tutorial.md").read_text(encoding="utf-8")
    paths = set(re.findall(r"\bdocs/tutorial/[\w./-]*\w", text))
    assert len(paths) >= 5
    assert {p for p in paths if not (ROOT / p).exists()} == set()


def test_the_readme_fits_on_a_screen_or_two():
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 85


def test_the_picture_is_small():
    assert (DOCS / "images" / "demo.png").stat().st_size < 200_000
