"""Value use over time: distances, what chance gives, the command and the server's watch."""

from __future__ import annotations

import json
import logging
import math
import os
import subprocess
import sys
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import jensenshannon
from typer.testing import CliRunner

from vispa.cli.batch import _report
from vispa.cli.main import app
from vispa.cli.setup import Setup
from vispa.errors import InputError
from vispa.items.answering import BatchSummary
from vispa.items.item import Item
from vispa.items.lines import record_line
from vispa.live.calls import Call
from vispa.readers.base import Failure
from vispa.request import MAX_SEED, Request
from vispa.serving.metrics import Metrics
from vispa.serving.value_use import UseMonitor
from vispa.study.value_use import (
    DEALS,
    LEVEL,
    Used,
    chance_level,
    distances,
    drift,
    over_time,
    read_uses,
    uses_matrix,
)

VALUES = tuple("abcdefgh")


def answers(count: int, seed: int, shares: tuple[float, ...] = (8, 6, 5, 4, 3, 2, 1, 1)) -> list[tuple[Used, ...]]:
    """Answers that use three values each."""
    random = np.random.default_rng(seed)
    chances = np.array(shares) / sum(shares)
    drawn = [random.choice(len(VALUES), 3, replace=False, p=chances) for _ in range(count)]
    return [tuple(Used(VALUES[one], float(random.uniform(0.3, 0.9))) for one in row) for row in drawn]


def test_distance_is_that_of_scipy() -> None:
    random = np.random.default_rng(0)
    for _ in range(20):
        one, other = random.integers(0, 5, (2, 6)).astype(float)
        one[0] = other[1] = 3
        assert float(distances(one, other)) == pytest.approx(jensenshannon(one, other, base=2), abs=1e-12)


@pytest.mark.parametrize("seed", range(3))
def test_a_window_against_itself_is_at_zero(seed: int) -> None:
    window = answers(40, seed)
    found = drift(window, window)
    assert found.distance == 0 and found.p_value == 1 and not found.is_alarming
    assert {one.before - one.after for one in found.values} == {0.0}


def test_distance_is_symmetric_and_one_where_nothing_is_shared() -> None:
    one, other = answers(30, 0), answers(50, 1)
    assert drift(one, other).distance == pytest.approx(drift(other, one).distance)
    apart = drift([(Used("a", 0.5),)] * 20, [(Used("z", 0.5),)] * 20)
    assert apart.distance == pytest.approx(1) and apart.is_alarming


def test_p_values_are_even_where_nothing_drifts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vispa.study.value_use.DEALS", 199)
    found = np.sort([drift(answers(30, seed), answers(40, 1000 + seed), seed=seed).p_value for seed in range(200)])
    # Kolmogorov and Smirnov's bound at one in a thousand.
    assert np.abs(found - (np.arange(200) + 0.5) / 200).max() < 1.95 / 200**0.5
    assert (found <= 0.05).mean() < 0.11


def test_a_shift_is_found_and_the_value_that_moved_most_stands_first() -> None:
    found = drift(answers(200, 0), answers(200, 1, (8, 6, 5, 4, 3, 2, 1, 8)))
    assert found.is_alarming and found.distance > found.alarm_level
    assert found.values[0].value == "h" and found.values[0].surprise > 3
    assert [abs(one.surprise) for one in found.values] == sorted(abs(one.surprise) for one in found.values)[::-1]


def test_relevance_is_told_in_quartiles_of_the_answers_that_use_a_value() -> None:
    scores = np.linspace(0, 1, 21)
    found = drift([(Used("a", score), Used("b", 0.5)) for score in scores], [(Used("b", 0.5),)] * 20)
    told = {one.value: one for one in found.values}
    assert told["a"].relevance_before == pytest.approx((0.25, 0.5, 0.75)) and told["a"].relevance_after is None


def test_many_answers_are_dealt_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    before, after = answers(70, 0), answers(50, 1)
    whole = drift(before, after)
    level = chance_level(uses_matrix(before, VALUES), 50)
    monkeypatch.setattr("vispa.study.value_use._HELD", 120 * 7)
    assert drift(before, after) == whole
    # Draws are others where kinds of answers are drawn in parts.
    assert chance_level(uses_matrix(before, VALUES), 50) == pytest.approx(level, abs=0.05)


def test_a_deal_of_many_answers_stays_small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vispa.study.value_use._HELD", 100_000)
    many = answers(20, 0) * 100
    tracemalloc.start()
    try:
        drift(many, many)
        UseMonitor(20, many)
        assert tracemalloc.get_traced_memory()[1] < 8e6
    finally:
        tracemalloc.stop()


def test_answers_that_use_nothing() -> None:
    monitor = UseMonitor(20)
    for uses in [()] * 40:
        monitor.add(uses)
    assert (monitor.alarm_level, monitor.distance) == (0, 0)


def test_the_level_of_a_reference_is_that_of_later_windows_of_it() -> None:
    reference = uses_matrix(answers(2000, 0), VALUES)
    level = chance_level(reference, 100, level=0.05)
    later = [uses_matrix(answers(100, 10 + seed), VALUES).sum(0) for seed in range(200)]
    above = float((distances(reference.sum(0), np.array(later)) > level).mean())
    assert 0.0 < above < 0.13


def test_values_used_as_often_stand_by_their_slugs() -> None:
    uses = [[Used(value, 0.5) for value in order] for order in ("hgfb", "bfgh", "a", "zb", "ah")]
    assert list(over_time(uses).shares) == ["b", "h", "a", "f", "g", "z"]
    assert over_time(uses[::-1]).shares == over_time(uses).shares == {
        "b": 0.6, "h": 0.6, "a": 0.4, "f": 0.4, "g": 0.4, "z": 0.2,
    }  # fmt: skip


def test_their_order_is_the_same_in_every_process() -> None:
    code = (
        "from vispa.study.value_use import *; print(list(over_time([[Used(s, 1) for s in 'qwertyuiop']] * 2).shares))"
    )
    told = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "PYTHONHASHSEED": str(seed)},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in range(4)
    }
    assert told == {f"{sorted('qwertyuiop')}\n"}


def test_small_windows_and_levels_are_refused() -> None:
    with pytest.raises(InputError, match="reference"):
        drift(answers(19, 0), answers(20, 1))
    with pytest.raises(InputError, match="new"):
        drift(answers(20, 0), [])


@pytest.mark.parametrize("level", [-1, 0, 1e-9, 0.0005, 0.99 / (DEALS + 1), 1.0, 2, math.inf, math.nan])
def test_levels_at_which_there_is_no_telling_are_refused(level: float) -> None:
    for judged in (
        lambda: drift(answers(20, 0), answers(20, 1), level=level),
        lambda: chance_level(uses_matrix(answers(20, 0), VALUES), 20, level=level),
    ):
        with pytest.raises(InputError, match=r"level: is .* Give a probability from 1/1001 to below 1"):
            judged()


@pytest.mark.parametrize("level", [1 / (DEALS + 1), 0.001, LEVEL, 0.5, 0.999])
def test_windows_that_share_nothing_drift_at_every_level_that_is_taken(level: float) -> None:
    found = drift([(Used("a", 0.5),)] * 40, [(Used("z", 0.5),)] * 40, level=level)
    assert found.is_alarming and found.p_value == 1 / (DEALS + 1)


def test_the_command_names_the_least_level() -> None:
    told = " ".join(CliRunner().invoke(app, ["drift", "--help"], env={"COLUMNS": "200"}).output.split())
    assert f"1/{DEALS + 1}" in told


@settings(max_examples=60, deadline=None)
@given(
    sizes=st.tuples(st.integers(20, 30), st.integers(20, 30)),
    moved=st.floats(0, 3),
    level=st.floats(1 / (DEALS + 1), 0.999) | st.integers(1, DEALS).map(lambda rank: rank / (DEALS + 1)),
    seed=st.integers(0, 1000),
)
def test_an_alarm_is_a_distance_above_the_level_and_a_p_value_within(
    sizes: tuple[int, int], moved: float, level: float, seed: int
) -> None:
    before, after = answers(sizes[0], seed), answers(sizes[1], seed + 1, (8, 6, 5, 4, 3, 2, 1, 1 + moved))
    found = drift(before, after, level=level, seed=seed)
    assert found.is_alarming == (found.distance > found.alarm_level) == (found.p_value <= level)
    # A level just below the p-value raises none, and its distance is not exceeded.
    if found.p_value > 1.5 / (DEALS + 1):
        below = drift(before, after, level=found.p_value - 0.5 / (DEALS + 1), seed=seed)
        assert not below.is_alarming and below.alarm_level >= found.distance


@pytest.mark.parametrize("seed", [-1, MAX_SEED + 1, 2**64, 0.5, True])
def test_seeds_are_those_that_every_command_takes(seed: int, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="seed"):
        drift(answers(20, 0), answers(20, 1), seed=seed)
    with pytest.raises(InputError, match="seed"):
        chance_level(uses_matrix(answers(20, 0), VALUES), 20, seed=seed)
    if type(seed) is int:
        file = str(record(tmp_path / "a.jsonl", answers(20, 0)))
        assert isinstance(CliRunner().invoke(app, ["drift", file, file, "--seed", str(seed)]).exception, InputError)


def test_halves_of_a_file_are_compared_where_they_are_large_enough() -> None:
    assert over_time(answers(39, 0)).halves is None
    found = over_time(answers(40, 0))
    assert found.halves is not None and found.halves.reference == 20
    assert list(found.shares.values()) == sorted(found.shares.values(), reverse=True)
    assert over_time([]).shares == {}


def record(path: Path, window: list[tuple[Used, ...]]) -> Path:
    lines = [{"id": number, "values": [vars(one) for one in uses]} for number, uses in enumerate(window)]
    path.write_text("\n".join(json.dumps(line) for line in [*lines, {"id": "x", "error": "no"}]) + "\n")
    return path


# What a model may write into the texts of a record.
WRITTEN = ["a\0b", "\0", "a\u2028b\x0c\x85", "\x1b[31m", "}\n{", "\ufeff", "\U0001f600", "x" * 100_000]


class Answered:
    """An answer, as far as its line tells of values."""

    def __init__(self, text: str, uses: tuple[Used, ...]) -> None:
        self.text, self.uses = text, uses

    def model_dump(self, **_: object) -> dict[str, object]:
        values = [{"value": one.value, "score": one.score, "label": self.text} for one in self.uses]
        return {"text": self.text, "response": self.text, "values": values, "comments": [{"text": self.text}]}


@pytest.mark.parametrize("text", WRITTEN)
def test_what_a_model_wrote_keeps_no_record_from_being_read(
    text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    window, file = answers(40, 0), tmp_path / "a.jsonl"
    answered: list[Any] = [Answered(text, uses) for uses in window]
    lines = [record_line(Item(id=number, text="x"), one) for number, one in enumerate(answered)]
    file.write_bytes(b"".join([*lines, record_line(Item(id=40, text="x"), Failure(text))]))
    assert read_uses(file) == window
    _report(BatchSummary(str(file), 41, 41, 0, 1.0, 1, 1.0, 1), Setup(), as_json=True)
    assert json.loads(capsys.readouterr().out)["value_use"]["answers"] == 40
    told = CliRunner().invoke(app, ["drift", str(file), str(file)])
    assert told.exit_code == 0, told.output


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('{"id": 11}', "line 2: is no record of an answer with its values"),
        ('{"id": 11, "error": null}', "line 2: is no record of an answer with its values"),
        ('{"id": 11, "va', "line 2: is not valid JSON"),
        ("[1]", "line 2: is "),
        ('{"values": ["karma"]}', r"line 2 field values\[0\]"),
        ('{"values": [{"value": "karma"}]}', r"line 2 field values\[0\].score: is missing"),
        ('{"values": [{"value": 3, "score": 0.5}]}', r"line 2 field values\[0\].value: is 3"),
        ('{"values": [{"value": "karma", "score": NaN}]}', r"line 2 field values\[0\].score: is nan"),
    ],
)
def test_lines_that_are_no_answers_are_named(line: str, message: str, tmp_path: Path) -> None:
    file = tmp_path / "a.jsonl"
    file.write_text('{"id": 1, "values": []}\n' + line)
    with pytest.raises(InputError, match=f"{message}.*Name a file that `vispa batch` wrote"):
        read_uses(file)


def test_the_command(tmp_path: Path) -> None:
    before = record(tmp_path / "before.jsonl", answers(60, 0))
    after = record(tmp_path / "after.jsonl", [(Used("[bold]\x1b[31mz", 0.5), *uses[:2]) for uses in answers(60, 1)])
    assert read_uses(before) == answers(60, 0)
    printed = CliRunner().invoke(app, ["drift", str(before), str(after)])
    assert printed.exit_code == 0, printed.output
    assert ": drift" in printed.output and "\x1b" not in printed.output and "[bold]" in printed.output
    told = json.loads(CliRunner().invoke(app, ["drift", str(before), str(before), "--json"]).output)
    assert (told["distance"], told["alarm"], told["reference"]) == (0.0, False, 60)


def test_a_monitor_warns_once_when_answers_drift(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "vispa")
    monitor = UseMonitor(100)
    for uses in answers(100, 0):
        assert math.isnan(monitor.distance)
        monitor.add(one.value for one in uses)
    assert 0 < monitor.alarm_level < 1
    for uses in answers(150, 1):
        monitor.add(one.value for one in uses)
    recent = answers(150, 1)[-100:]
    assert monitor.distance == pytest.approx(drift(answers(100, 0), recent).distance)
    assert not [line for line in caplog.records if line.levelno == logging.WARNING]
    for uses in answers(150, 2, (1, 1, 1, 1, 8, 8, 8, 8)):
        monitor.add(one.value for one in uses)
    assert monitor.distance > monitor.alarm_level
    warned = [line.getMessage() for line in caplog.records if line.levelno == logging.WARNING]
    assert len(warned) == 1 and "alarm level" in warned[0]


@pytest.mark.parametrize(("quiet", "warnings"), [(20, 1), (60, 1), (260, 2), (600, 2)])
def test_a_monitor_warns_again_after_a_window_below_the_level(
    quiet: int, warnings: int, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "vispa")
    monitor = UseMonitor(100)
    stays, moved = (8, 6, 5, 4, 3, 2, 1, 1), (1, 1, 1, 1, 8, 8, 8, 8)
    for seed, (count, shares) in enumerate([(100, stays), (120, moved), (quiet, stays), (120, moved), (50, stays)]):
        for uses in answers(count, seed, shares):
            monitor.add(one.value for one in uses)
    assert len([line for line in caplog.records if line.levelno == logging.WARNING]) == warnings


def test_a_monitor_compares_with_a_reference_from_the_start() -> None:
    monitor = UseMonitor(20, answers(300, 0))
    assert not math.isnan(monitor.alarm_level)
    for uses in answers(20, 1):
        assert math.isnan(monitor.distance)
        monitor.add(one.value for one in uses)
    assert monitor.distance == pytest.approx(drift(answers(300, 0), answers(20, 1)).distance)
    for window, reference in ((19, 300), (20, 19)):
        with pytest.raises(InputError, match="drift"):
            UseMonitor(window, answers(reference, 0))


@pytest.mark.parametrize(("shares", "is_above"), [((8, 6, 5, 4, 3, 2, 1, 1), False), ((1, 1, 1, 1, 8, 8, 8, 8), True)])
def test_an_operator_reads_distance_and_level_as_gauges(shares: tuple[float, ...], is_above: bool) -> None:
    metrics = Metrics(UseMonitor(100, answers(300, 0)))

    def gauge(name: str) -> float:
        page = metrics.page(0, None).decode()
        (line,) = [line for line in page.splitlines() if line.startswith(f"{name} ")]
        return float(line.split()[1])

    level = gauge("vispa_value_drift_alarm_level")
    assert 0 < level < 1 and math.isnan(gauge("vispa_value_drift"))
    new = answers(100, 1, shares)
    for uses in new:
        call = Call()
        call.choose(Request("x"), [one.value for one in uses])
        metrics.call(call)
    distance = gauge("vispa_value_drift")
    assert distance == pytest.approx(drift(answers(300, 0), new).distance) and (distance > level) is is_above
    used = [line for line in metrics.page(0, None).decode().splitlines() if line.startswith("vispa_values_total{")]
    assert sum(float(line.split()[1]) for line in used) == 3 * len(new)
