"""What must hold for the tree as a whole."""

from __future__ import annotations

import ast
import functools
import operator
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SOURCES = [
    path
    for folder in ("operator", "trainer-image", "devcluster", "demo")
    for path in sorted((ROOT / folder).rglob("*.py"))
    if "node_modules" not in path.parts
]
OURS = [
    path for path in SOURCES if path.is_relative_to(ROOT / "operator") or path.is_relative_to(ROOT / "trainer-image")
]
LONGEST_FILE = 400
LONGEST_FUNCTION = 80
DECLARATIONS = {
    "operator/retrainer/api/v1alpha1/ab_experiment.py",
    "operator/retrainer/api/v1alpha1/retrain_policy.py",
}
"""Longer than a file may be: one kind with a sentence for each field, and no logic."""


@functools.cache
def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def relative(path: Path) -> str:
    return str(path.relative_to(ROOT))


def test_the_source_root_operator_is_no_package() -> None:
    """It would shadow Python's own `operator` module and break every interpreter started here."""
    assert not (ROOT / "operator" / "__init__.py").exists()
    assert not (ROOT / "trainer-image" / "__init__.py").exists()
    assert not Path(operator.__file__).is_relative_to(ROOT)


def test_an_interpreter_started_in_the_repository_finds_its_own_operator_module() -> None:
    code = "import operator, collections; print(operator.__file__)"
    found = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert not Path(found.stdout.strip()).is_relative_to(ROOT)


def test_there_are_sources() -> None:
    assert len(OURS) > 50


def test_no_file_is_longer_than_400_lines() -> None:
    lengths = {relative(path): len(path.read_text(encoding="utf-8").splitlines()) for path in OURS}
    assert {name: n for name, n in lengths.items() if n > LONGEST_FILE and name not in DECLARATIONS} == {}


def test_files_that_may_be_longer_hold_declarations_only() -> None:
    for name in DECLARATIONS:
        tree = ast.parse((ROOT / name).read_text(encoding="utf-8"))
        assert [node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)] == []


def test_no_function_is_longer_than_80_lines() -> None:
    long: dict[str, int] = {}
    for path in OURS:
        for node in ast.walk(parsed(path)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                length = (node.end_lineno or node.lineno) - node.lineno + 1
                if length > LONGEST_FUNCTION:
                    long[f"{relative(path)}:{node.name}"] = length
    assert long == {}


def test_every_module_says_first_what_it_is_for() -> None:
    silent = []
    for path in OURS:
        if parsed(path).body and not ast.get_docstring(parsed(path)):
            silent.append(relative(path))
    assert silent == []


@pytest.mark.parametrize("word", ["TODO", "FIXME", "XXX", "NotImplementedError", "breakpoint("])
def test_nothing_is_left_for_later(word: str) -> None:
    assert [relative(path) for path in SOURCES if word in path.read_text(encoding="utf-8")] == []


def test_no_source_names_a_folder_of_somebodys_machine() -> None:
    homes = ("/home/", "/Users/", str(ROOT) + "/")
    assert [relative(p) for p in SOURCES if any(home in p.read_text(encoding="utf-8") for home in homes)] == []


def test_no_test_is_skipped_for_good_or_expected_to_fail() -> None:
    """`skipif` may say what a machine must offer."""
    marks = ("mark." + "skip(", "mark." + "skip\n", "mark." + "xfail", "pytest." + "skip(", "pytest." + "xfail(")
    tests = sorted((ROOT / "tests").rglob("*.py"))
    assert [relative(p) for p in tests if any(mark in p.read_text(encoding="utf-8") for mark in marks)] == []


def test_test_files_have_names_of_their_own() -> None:
    names = [path.name for path in (ROOT / "tests").rglob("test_*.py")]
    assert {name for name in names if names.count(name) > 1} == set()
