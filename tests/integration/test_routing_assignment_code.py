"""The code in docs/assignment.md, run by Go and Node, gives every published vector's arm."""

from __future__ import annotations

import json
import os
import re
import subprocess
from pathlib import Path

DOCS = Path(__file__).resolve().parents[2] / "docs"
VECTORS = json.loads((DOCS / "assignment-vectors.json").read_text(encoding="utf-8"))
CASES = [{**v, "weight": w, "candidate": w > v["bucket"]} for v in VECTORS for w in (0, v["bucket"], v["bucket"] + 1)]

GO_MAIN = """package main

import (
	"encoding/json"
	"fmt"
	"os"

	"example.com/check/assignment"
)

func main() {
	var cases []struct {
		Salt, Unit string
		Weight     uint64
		Candidate  bool
	}
	if err := json.NewDecoder(os.Stdin).Decode(&cases); err != nil {
		panic(err)
	}
	wrong := 0
	for _, c := range cases {
		if assignment.IsCandidate(c.Salt, c.Unit, c.Weight) != c.Candidate {
			wrong++
		}
	}
	fmt.Println(len(cases), wrong)
}
"""
NODE_MAIN = """import { readFileSync } from "node:fs";
import { isCandidate } from "./assignment.mjs";

const cases = JSON.parse(readFileSync(0, "utf8"));
const wrong = cases.filter((c) => isCandidate(c.salt, c.unit, c.weight) !== c.candidate);
console.log(JSON.stringify({ cases: cases.length, wrong }));
"""


def documented(language: str) -> str:
    """The only code block of a language."""
    text = (DOCS / "assignment.md").read_text(encoding="utf-8")
    (code,) = re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    return str(code)


def run(folder: Path, *command: str) -> str:
    """Standard output; the cases are standard input."""
    environment = {**os.environ, "CGO_ENABLED": "0"}
    done = subprocess.run(
        command, cwd=folder, input=json.dumps(CASES), capture_output=True, text=True, check=False, env=environment
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_go_code(tmp_path: Path) -> None:
    (tmp_path / "assignment").mkdir()
    (tmp_path / "go.mod").write_text("module example.com/check\n\ngo 1.22\n")
    (tmp_path / "assignment" / "assignment.go").write_text(documented("go"))
    (tmp_path / "main.go").write_text(GO_MAIN)
    # With devcluster's flags: its standard library is compiled already.
    assert run(tmp_path, "go", "run", "-trimpath", ".").split() == [str(len(CASES)), "0"]


def test_the_javascript_code(tmp_path: Path) -> None:
    (tmp_path / "assignment.mjs").write_text(documented("js"))
    (tmp_path / "check.mjs").write_text(NODE_MAIN)
    assert json.loads(run(tmp_path, "node", "check.mjs")) == {"cases": len(CASES), "wrong": []}
