"""A metric of one's own: a class and a line in the registry, and every step knows it."""

from __future__ import annotations

import ast
import json
import math
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
from test_scoring import record, write_run, write_task

from vispa.errors import InputError
from vispa.evaluation.comparison import compare_runs
from vispa.evaluation.diagnostics import Thresholds, check_folder
from vispa.evaluation.metrics import METRICS
from vispa.evaluation.metrics.base import Check, CheckWords, Figure, Metric, Scored
from vispa.evaluation.report import report_folder
from vispa.evaluation.scoring import score_folder
from vispa.evaluation.tasks import load_task

PACKAGE = Path(score_folder.__code__.co_filename).parents[1]


class Brevity(Metric):
    """Whether a response is short."""

    name = "brevity"
    modes = ("overton",)
    needs = ("attribute",)
    figures = (
        Figure("short", "share of short ones", "of ten characters at most", (0, 1), "higher", "!", "short", True),
        Figure("length", "characters", "of a response", (0, math.inf), "lower", headline="characters"),
    )
    check_words: ClassVar = {"long-winded": CheckWords("mean characters", decimals=1)}

    def problem(self, item):
        return None if item.attribute != "odd" else ("is odd.", "Leave it out.")

    def is_readable(self, item, record):
        return bool(record.response)

    def score(self, items, records, how, progress):
        lengths = np.array([1000.0 if one is None else float(len(one.response or "")) for one in records])
        return Scored({"short": (lengths <= 10).astype(float), "length": lengths})

    def checks(self, items, figures, limits):
        yield Check("long-winded", figures["length"].estimate, limits.get("length", 20.0), "above", "Write less.")


@pytest.fixture
def brevity(monkeypatch):
    monkeypatch.setitem(METRICS, "brevity", Brevity())


ITEMS = [{"id": n, "text": f"Case {n}", "attribute": "even"} for n in range(3)]


def runs(folder: Path) -> list[Path]:
    task = write_task(folder / "data", ITEMS, "overton", "brevity")
    short = [record(0, response="Yes."), record(1, response="No."), record(2, error="no reply")]
    wordy = [record(0, response="Yes."), record(1, response="It depends on the day."), record(2, response="No.")]
    return [write_run(folder / name, task, {"m": lines}) for name, lines in (("a", short), ("b", wordy))]


def test_a_metric_is_scored_checked_compared_and_reported(brevity, tmp_path):
    first, second = runs(tmp_path)
    scores = score_folder(first)
    assert scores.metric == "brevity" and scores.judge is None
    assert scores.methods["m"].figures["short"].estimate == pytest.approx(2 / 3)
    assert scores.methods["m"].groups["even"]["length"].estimate == pytest.approx(1007 / 3)
    score_folder(second)
    found = compare_runs(first, second).methods["m"]
    assert (found.flipped_by, found.gained, found.lost) == ("short", (2,), (1,))
    (check,) = (one for one in check_folder(first) if one.name == "long-winded")
    assert check.fired and check.advice == "Write less."
    lax = check_folder(first, thresholds=Thresholds(figures={"length": 400.0}))
    assert not next(one for one in lax if one.name == "long-winded").fired
    check_folder(first)
    page = report_folder(first).read_text()
    assert "share of short ones <small>of ten characters at most; 0 to 1, higher is better!</small>" in page
    length = "characters <small>of a response; at least 0, lower is better"
    assert page.index("share of short ones") < page.index(length)
    assert "Mean characters; fires above 20.0" in page and "335.7" in page
    assert "characters (lower is better): m" in page


def test_a_metric_says_what_its_items_need(brevity, tmp_path):
    task = write_task(tmp_path / "data", [{"id": 1, "text": "Case"}], "overton", "brevity")
    with pytest.raises(InputError, match=r"no field 'attribute'.*metric brevity needs it"):
        load_task(task)
    write_task(tmp_path / "data", [{"id": 1, "text": "Case", "attribute": "odd"}], "overton", "brevity")
    with pytest.raises(InputError, match=r"\(id 1\): is odd. Leave it out."):
        load_task(task)
    write_task(tmp_path / "data", ITEMS, "steerable", "brevity")
    with pytest.raises(InputError, match=r"metric brevity does not judge steerable answers"):
        load_task(task)


def test_a_metric_that_there_is_not_is_refused(tmp_path):
    task = write_task(tmp_path / "data", ITEMS, "overton", "brevity")
    with pytest.raises(InputError, match=r"field metric.*'brevity', which is no metric; choose coverage, agreement"):
        load_task(task)


def test_nothing_else_names_a_metric():
    """No text of the package's code is a metric's or a figure's name, but in the metrics' own files."""
    names = set(METRICS) | {figure.name for metric in METRICS.values() for figure in metric.figures}
    # Words that other tables use too.
    names -= {"accuracy"}
    for path in PACKAGE.rglob("*.py"):
        part = path.relative_to(PACKAGE).as_posix()
        # Scorers of Inspect have names of their own; a metric without one has the general scorer.
        if part.startswith("evaluation/metrics/") or part == "bridges/inspect_scorers.py":
            continue
        texts = {node.value for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Constant)}
        found = names & {text for text in texts if isinstance(text, str)} - {"distribution"}
        assert not found, f"{part} names {json.dumps(sorted(found))}"
