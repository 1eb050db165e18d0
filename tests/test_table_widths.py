"""What commands print as a table: whole numbers and names at every width, in a terminal and in a pipe."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from os import terminal_size
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from random_banks import random_bank_of
from rich.table import Table
from typer.testing import CliRunner

from vispa.cli import console, doctor, drift, evaluate, inspect, main, respond, taxonomy
from vispa.cli.bank.finding import print_blocks, print_by_block, ranges
from vispa.evaluation.intervals import Interval
from vispa.study.checks import Fitness, checked, rules
from vispa.study.value_use import Drift, ValueDrift
from vispa.taxonomy import Taxonomy
from vispa.taxonomy.difference import TaxonomyDifference, ValueDifference

SLUGS = tuple(Taxonomy.built_in())
#: None for a file or a pipe.
WIDTHS = (60, 80, 120, None)
#: What stands together in a row of a table.
Rows = list[tuple[str, ...]]


@pytest.fixture(params=WIDTHS, ids=str)
def width(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> int | None:
    if request.param is None:
        monkeypatch.delenv("COLUMNS", raising=False)
    else:
        monkeypatch.setenv("COLUMNS", str(request.param))
    monkeypatch.setenv("VISPA_CACHE", str(tmp_path / "cache"))
    found: int | None = request.param
    return found


def directions() -> Rows:
    rows = [
        {"value": slug, "accuracy": 0.123, "best": 0.987, "block": 29, "nearest": SLUGS[-1 - place], "cosine": -0.456}
        for place, slug in enumerate(SLUGS)
    ]
    inspect._print_table("Directions", [{**rows[0], "nearest": None}, *rows[1:]])
    return [(row["value"], "0.12", "0.99", "29", row["nearest"], "-0.46") for row in rows[1:]]  # type: ignore[misc]


def leakage() -> Rows:
    rows = [
        {
            "value": slug,
            "own_change": 0.5,
            "own_logit_change": -11.25,
            "leaks_to": "uncertainty_avoidance",
            "change": 1.0,
        }
        for slug in SLUGS
    ]
    inspect._print_table("Leakage", rows)
    return [(slug, "0.50", "-11.25", "uncertainty_avoidance", "1.00") for slug in SLUGS]


def wholes() -> Rows:
    inspect._print_table("Comments on the whole", [{"figure": "harmonic mean", "steered": 0.5, "unsteered": 0.25}])
    return [("harmonic mean", "0.50", "0.25")]


def moved() -> Rows:
    quartiles = (0.1, 0.25, 0.5)
    values = tuple(ValueDrift(slug, 0.125, 1.0, -12.5, quartiles, quartiles) for slug in SLUGS)
    drift._print(Drift(1000, 1000, 0.5, 0.25, 0.001, 0.01, values))
    return [(slug, "12.5%", "100.0%", "-12.5", "0.25 to 0.25") for slug in SLUGS[:10]]


def changed() -> Rows:
    fields = ("label", "definition", "polarity", "family", "theory", "source", "aliases")
    values = tuple(ValueDifference(slug, "changed", "power", "pairs", fields, 100, 99) for slug in SLUGS)
    taxonomy._print_difference(TaxonomyDifference("a" * 64, "b" * 64, values, True, False))
    return [(slug, "+100 -99") for slug in SLUGS]


def fitness() -> Rows:
    found = [checked(name, 0.12, "m", "[0.10, 0.15], worst for uncertainty_avoidance") for name in rules()]
    vispa: Any = SimpleNamespace(
        model=SimpleNamespace(name="m"),
        recipe=SimpleNamespace(estimator="refined", magnitude="coefficient", amount=0.95),
        reader=SimpleNamespace(name="r", option_reading="cyclic"),
    )
    doctor._print(vispa, Fitness(tuple(found)))
    return [("uncertainty_avoidance",), *((check.rule.shown(check.figure),) for check in found)]


def answered() -> Rows:
    comment = "Whoever comforts a grandmother with unquestionable kindness has thought of her before the truth. " * 3
    given: dict[str, Any] = {
        "mode": "distributional",
        "values": [SimpleNamespace(value=slug, score=0.5) for slug in SLUGS],
        "comments": [
            SimpleNamespace(value=slug, text=comment, steered=True, refused=False, ending="own", repeats=None)
            for slug in SLUGS
        ],
        "silent": (),
        "options": ("Right", "Neither right nor wrong"),
        "distribution": (0.25, 0.75),
        "mixture": "mean",
        "weights": (1.0,) * len(SLUGS),
        "disputed": (),
    }
    respond._print(SimpleNamespace(**given))  # type: ignore[arg-type]
    return [*((slug, "0.50") for slug in SLUGS), ("Right", "25.0%"), ("wrong", "75.0%")]


def scored() -> Rows:
    methods = ("vanilla", "vispa:one_versus_others+nli")
    names = ("accuracy", "jensen_shannon", "cosine_same_length", "cosine_same_length_shuffled")
    figure = Interval(estimate=0.25, low=0.125, high=0.5, confidence=0.95, resamples=10, n=3)
    found = SimpleNamespace(
        budget=None, methods={method: SimpleNamespace(figures=dict.fromkeys(names, figure)) for method in methods}
    )
    evaluate._print_scores(found, 3)  # type: ignore[arg-type]
    return [(method, "0.250", "[0.125, 0.500]") for method in methods]


def kept() -> Rows:
    found = CliRunner().invoke(main.app, ["bank", "show", "smollm2"])
    assert found.exit_code == 0, found.output
    sys.stdout.write(found.stdout)
    return [*((slug,) for slug in SLUGS), ("0-9", "0."), ("10-19", "0."), ("20-29", "0."), ("refined",)]


def fitted() -> Rows:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("vispa.steering.bank_cache.cached_bank", lambda model, values, **_: random_bank_of(model, values))
        found = CliRunner().invoke(main.app, ["fit", "embedded"])
    assert found.exit_code == 0, found.output
    sys.stdout.write(found.stdout)
    return [("0-5", "1.00 1.00 1.00 1.00 1.00 1.00")]


PRINTERS: dict[str, Callable[[], Rows]] = {
    "inspect: directions": directions,
    "inspect: leakage": leakage,
    "inspect: comments": wholes,
    "drift": moved,
    "taxonomy diff": changed,
    "doctor": fitness,
    "respond": answered,
    "eval": scored,
    "bank show": kept,
    "fit": fitted,
}


@pytest.mark.parametrize("printer", PRINTERS)
def test_no_number_and_no_name_is_broken(printer: str, width: int | None, capsys: pytest.CaptureFixture[str]) -> None:
    rows = PRINTERS[printer]()
    lines = capsys.readouterr().out.splitlines()
    assert not any("…" in line for line in lines) and all(line == line.rstrip() for line in lines)
    for parts in rows:
        # In a line that is too short for the whole row its parts stand in several.
        for part in parts:
            assert any(part in line for line in lines), part
        if width is None:
            assert any(all(part in line for part in parts) for line in lines), parts
    told = [line for line in lines if any(part in line for parts in rows for part in parts if part != "0.")]
    assert width is None or max(map(len, told)) <= width


@pytest.mark.parametrize(
    ("columns", "printed"),
    [
        (18, ["honor", "  leaks to", "    virtue_ethics", "  change +0.25"]),
        (25, ["honor", "  leaks to virtue_ethics", "  change +0.25"]),
        (None, ["value leaks to      change", "honor virtue_ethics  +0.25"]),
        (26, ["value leaks to      change", "honor virtue_ethics  +0.25"]),
    ],
)
def test_a_table_without_room_is_printed_row_by_row(
    columns: int | None, printed: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    if columns is not None:
        monkeypatch.setenv("COLUMNS", str(columns))
    table = Table("value", "leaks to", box=None, pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column("change", justify="right")
    table.add_row(console.cell("honor"), console.cell("virtue_ethics"), "+0.25")
    console.print_drawn(table)
    assert capsys.readouterr().out.splitlines() == printed


@pytest.mark.parametrize(
    ("is_terminal", "given", "width"),
    [(False, None, None), (False, "", None), (False, "90", 90), (True, None, 72), (True, "", 72), (True, "90", 90)],
)
def test_the_width_is_the_terminals(
    is_terminal: bool, given: str | None, width: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdout", SimpleNamespace(isatty=lambda: is_terminal))
    monkeypatch.setattr("os.get_terminal_size", lambda *_: terminal_size((72, 20)))

    monkeypatch.delenv("COLUMNS", raising=False)
    if given is not None:
        monkeypatch.setenv("COLUMNS", given)
    assert console.line_width() == width


@pytest.mark.parametrize(
    ("layers", "printed"),
    [
        ({"calm": [1, 2, 3]}, ["calm: blocks 1-3"]),
        ({"calm": [2], "candor": [2]}, ["2 values: blocks 2"]),
        ({slug: [1, 3, 4, 5] for slug in SLUGS}, ["31 values: blocks 1, 3-5"]),
        ({**{slug: [1, 2] for slug in SLUGS}, "karma": [1]}, ["30 other values: blocks 1-2", "karma: blocks 1"]),
        ({"calm": [1], "candor": [2]}, ["calm: blocks 1", "candor: blocks 2"]),
        ({}, []),
    ],
)
def test_blocks_that_are_the_same_are_said_once(
    layers: dict[str, Sequence[int]], printed: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    print_blocks(layers)
    assert capsys.readouterr().out.splitlines() == printed


@pytest.mark.parametrize("count", [0, 1, 10, 11, 126])
def test_figures_by_block_stand_in_short_lines(count: int, capsys: pytest.CaptureFixture[str]) -> None:
    print_by_block("probe_mean_difference (last, pairs)", [place / count for place in range(count)])
    name, *lines = capsys.readouterr().out.splitlines()
    assert name == "  probe_mean_difference (last, pairs)" and all(len(line) <= 60 for line in lines)
    assert [len(line.split()) - 1 for line in lines] == [10] * (count // 10) + [count % 10] * (count % 10 > 0)


@pytest.mark.parametrize(
    ("numbers", "words"), [((), ""), ((4,), "4"), ((1, 2), "1-2"), ((5, 6, 7, 9, 12, 13), "5-7, 9, 12-13")]
)
def test_ranges_of_blocks(numbers: tuple[int, ...], words: str) -> None:
    assert ranges(numbers) == words
