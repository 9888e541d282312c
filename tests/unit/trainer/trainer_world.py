"""What the trainer's tests share: records, SQLite sources with real digits, run.json, stages as real processes."""

from __future__ import annotations

import functools
import gzip
import importlib.util
import json
import multiprocessing
import multiprocessing.process
import os
import sqlite3
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from retrainer.api.v1alpha1.training_parts import DataSelection, ObjectRef, Target
from trainer.rows import FeatureSpec, Record
from trainer.spool import Facts, collect

DIGIT = Target(name="digit")
TWO_FEATURES = (FeatureSpec("a"), FeatureSpec("b"))
DAY = 86_400_000_000
EPOCH = 1_767_225_600_000_000
"""2026-01-01 in microseconds."""

_PROCESSES = multiprocessing.get_context("forkserver")
_PROCESSES.set_forkserver_preload(
    ["pytest", "trainer.stages.data", "trainer.stages.train", "trainer.report", "trainer.serve.app"]
)


def record(number: int, **changes: Any) -> Record:
    """A record labelled "yes" or "no" in turn, one unit and one minute each."""
    base: dict[str, Any] = {
        "source": "s",
        "id": f"r{number}",
        "identity": f"record:r{number}",
        "time": EPOCH + number * 60_000_000,
        "unit": f"u{number}",
        "segment": None,
        "model": "1",
        "features": {"a": float(number), "b": 1.0},
        "labels": {"digit": "yes" if number % 2 else "no"},
        "corrections": {},
        "predictions": {},
        "approved": False,
    }
    return Record(**{**base, **changes})


def facts_of(
    records: Iterable[Record],
    targets: Sequence[Target] = (DIGIT,),
    features: Sequence[FeatureSpec] = TWO_FEATURES,
    seed: int = 42,
) -> Facts:
    """The facts of usable records; the rows themselves go nowhere."""
    return collect(records, targets, features, seed, Path("/dev/null"), lambda: None)[0]


def selection(**changes: Any) -> DataSelection:
    """A DataSelection with small minimums."""
    base: dict[str, Any] = {"source_refs": (ObjectRef(name="s"),), "minimum_samples": 1, "minimum_units": 1}
    return DataSelection(**{**base, **changes})


@functools.cache
def digits() -> tuple[np.ndarray, np.ndarray]:
    """The 1,797 handwritten digits that scikit-learn brings, shuffled: (rows, 64) and (rows); not importing
    scikit-learn saves three seconds."""
    spec = importlib.util.find_spec("sklearn")
    assert spec is not None and spec.origin is not None
    path = Path(spec.origin).parent / "datasets" / "data" / "digits.csv.gz"
    with gzip.open(path) as file:
        table = np.loadtxt(file, delimiter=",")
    table = table[np.random.default_rng(0).permutation(len(table))]
    return table[:, :64].astype(int), table[:, 64].astype(int)


@dataclass
class World:
    """A data root with a feedback database, an output and run.json files in one temporary folder."""

    folder: Path

    @property
    def root(self) -> Path:
        return self.folder / "root"

    @property
    def output(self) -> Path:
        return self.folder / "out"

    def write(self, rows: Iterable[Mapping[str, Any]], database: str = "feedback.db") -> None:
        """Add rows to the table `feedback`; absent columns are NULL."""
        self.root.mkdir(exist_ok=True)
        columns = ("id", "created_at", "unit", "features", "prediction", "thumb", "correction", "label")
        connection = sqlite3.connect(self.root / database)
        connection.execute(f"CREATE TABLE IF NOT EXISTS feedback ({', '.join(columns)})")
        marks = ", ".join("?" for _ in columns)
        connection.executemany(
            f"INSERT INTO feedback VALUES ({marks})", [[row.get(column) for column in columns] for row in rows]
        )
        connection.commit()
        connection.close()

    def write_digits(self, count: int, start: int = 0, units: int = 1000, **extra: Any) -> None:
        """Labelled digits, one every minute of January 2026."""
        images, labels = digits()
        self.write(
            {
                "id": f"d{n}",
                "created_at": f"2026-01-{1 + n // 1440:02d}T{n // 60 % 24:02d}:{n % 60:02d}:00Z",
                "unit": f"u{n % units}",
                "features": json.dumps(images[n].tolist()),
                "label": str(labels[n]),
                **extra,
            }
            for n in range(start, start + count)
        )

    def config(self, **changes: Any) -> dict[str, Any]:
        """A run.json for digits; `data`, `method` and the rest of the spec may be changed."""
        data = {
            "sourceRefs": [{"name": "s"}],
            "window": {"from": "2026-01-01T00:00:00Z", "to": "2026-02-01T00:00:00Z"},
            "minimumSamples": 20,
            "minimumUnits": 5,
            "split": "Random",
            **changes.pop("data", {}),
        }
        method = {
            "targets": [{"name": "digit"}],
            "trees": 8,
            "additionalTrees": 3,
            "parameters": [{"name": "max_depth", "value": "3"}],
            **changes.pop("method", {}),
        }
        source = changes.pop("source", SOURCE)
        uid = changes.pop("uid", "uid-1")
        spec = {
            "model": "digits",
            "data": data,
            "method": {"xgboost": method},
            "output": {"uri": f"file://{self.output}/"},
            **changes,
        }
        return {
            "run": {"namespace": "demo", "name": "digits-1", "uid": uid},
            "attempt": 1,
            "spec": spec,
            "sources": [{"name": "s", "spec": source}],
        }

    def run(self, stage: str, config: Mapping[str, Any], **options: Any) -> Outcome:
        """A stage in a process of its own."""
        process = self.start(stage, config, **options)
        return process.finish()

    def start(self, stage: str, config: Mapping[str, Any], more: Sequence[str] = ()) -> Stage:
        """Start a stage with `more` arguments; `finish` waits for it."""
        folder = self.folder / f"{stage}-{time.monotonic_ns()}"
        folder.mkdir()
        (folder / "run.json").write_text(json.dumps(config))
        arguments = [stage, "--config", str(folder / "run.json"), "--workdir", str(folder / "work"), *more]
        variables = {"RETRAINER_DATA_ROOT": str(self.root)}
        return Stage(folder, launch(_main, arguments, variables, str(folder / "log")))

    def freeze(self, **changes: Any) -> dict[str, Any]:
        """Run the data stage and return the run.json of the train stage."""
        config = self.config(**changes)
        return self.with_snapshot(config, self.run("data", config).succeeded())

    def with_snapshot(self, config: Mapping[str, Any], message: Mapping[str, Any]) -> dict[str, Any]:
        """The run.json of the train stage for a finished data stage."""
        digest = message["dataset"]["digest"]
        uri = f"file://{self.output}/snapshots/{digest[7:]}/"
        return {**config, "sources": [], "snapshot": {"uri": uri, "digest": digest}}

    def champion(self, message: Mapping[str, Any], through: str | None) -> dict[str, Any]:
        """A reference to the artifact of a finished train stage."""
        digest = message["artifact"]["digest"]
        reference = {"uri": f"file://{self.output}/artifacts/{digest[7:]}/", "digest": digest}
        return reference if through is None else {**reference, "trainedThrough": through}


SOURCE: dict[str, Any] = {
    "sqlite": {"path": "feedback.db", "table": "feedback"},
    "record": {
        "id": "id",
        "time": "created_at",
        "unit": "unit",
        "prediction": "prediction",
        "correction": "correction",
        "features": {"from": "features"},
        "labels": [{"name": "digit", "from": "label"}],
    },
    "signals": [
        {"name": "thumbs", "from": "thumb", "thumbs": {"positive": ["1"], "neutral": ["0"], "negative": ["-1"]}},
        {"name": "truth", "label": {}},
        {"name": "fix", "correction": {}},
    ],
}


@dataclass(frozen=True)
class Outcome:
    """How a stage ended."""

    code: int | None
    message: dict[str, Any]
    log: str

    def succeeded(self) -> dict[str, Any]:
        """The termination message of a stage that must have succeeded."""
        assert self.code == 0, self.log
        return self.message

    @property
    def progress(self) -> list[dict[str, Any]]:
        """The progress lines of the log."""
        lines = [json.loads(line) for line in self.log.splitlines() if line.startswith('{"retrainer.progress"')]
        return [line["retrainer.progress"] for line in lines]


@dataclass(frozen=True)
class Stage:
    """A stage that runs."""

    folder: Path
    process: multiprocessing.process.BaseProcess

    def log(self) -> str:
        path = self.folder / "log"
        return path.read_text() if path.exists() else ""

    def finish(self) -> Outcome:
        self.process.join(60)
        assert self.process.exitcode is not None, "the stage hangs:\n" + self.log()
        path = self.folder / "work" / "termination-message.json"
        message = json.loads(path.read_text()) if path.exists() else {}
        return Outcome(self.process.exitcode, message, self.log())


def launch(
    target: Callable[..., None], arguments: Sequence[Any], environment: Mapping[str, str], log: str
) -> multiprocessing.process.BaseProcess:
    """A real process, forked from a server that has imported the heavy libraries but has used none of them."""
    process = _PROCESSES.Process(target=_child, args=(target, list(arguments), dict(environment), log))
    process.start()
    return process


def _child(target: Callable[..., None], arguments: list[Any], environment: dict[str, str], log: str) -> None:
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    sys.stdout = os.fdopen(1, "w", buffering=1)
    sys.stderr = os.fdopen(2, "w", buffering=1)
    os.environ.update(environment)
    target(*arguments)


def _main(*arguments: str) -> None:
    from trainer.__main__ import main

    sys.exit(main(list(arguments)))


def wait_until(condition: Callable[[], bool], seconds: float = 30.0) -> None:
    """Look again until the condition holds; fails after `seconds`."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "the condition never came true"
        time.sleep(0.005)
