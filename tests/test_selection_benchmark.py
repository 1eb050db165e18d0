"""The benchmark of selection: its figures against obvious references, and its command on a few situations."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from benchmarks import selection
from benchmarks.selection_figures import BINS, Measured, area, figures_of, reliability, value_areas
from vispa.selection import SELECTORS, SelectorKind
from vispa.selection.labelled import load_situations


@pytest.fixture(scope="module")
def measured() -> Measured:
    draw = np.random.default_rng(3)
    scale = draw.choice([0, 1, 2], p=[0.6, 0.25, 0.15], size=(80, 9))
    scale[:, 8] = 0
    scores = np.clip(0.2 * scale + draw.uniform(0, 0.6, scale.shape), 0, 1)
    # Ties count half.
    scores = np.round(scores, 1)
    sides = np.where(scale > 0, draw.choice([-1.0, 0.0, 1.0], size=scale.shape), np.nan)
    stances = draw.uniform(0, 1, scale.shape)
    stances[0] = np.nan
    return Measured(scores, scale, stances=stances, sides=sides)


def test_areas_equal_scikit_learn(measured: Measured) -> None:
    gold = measured.scale > 0
    found = value_areas(measured)
    assert np.isnan(found[8])
    expected = [roc_auc_score(gold[:, v], measured.scores[:, v]) for v in range(8)]
    np.testing.assert_allclose(found[:8], expected)
    rows = area(measured.scores, gold, 1)
    for row, own, score in zip(rows, gold, measured.scores, strict=True):
        assert np.isnan(row) if own.all() or not own.any() else row == pytest.approx(roc_auc_score(own, score))


def test_figures_equal_a_slow_reading(measured: Measured) -> None:
    figures = figures_of(measured)
    right = heard = clear = agree = told = 0
    for scores, scale in zip(measured.scores, measured.scale, strict=True):
        best = sorted(range(9), key=lambda v: (-scores[v], v))[:6]
        right += sum(scale[v] > 0 for v in best)
        heard += sum(scale[v] == 2 for v in best)
        clear += sum(scale == 2)
    assert figures["precision_at_6"].estimate == pytest.approx(right / (6 * 80))
    assert figures["clear_recall_at_6"].estimate == pytest.approx(heard / clear)
    cells = [(p, y > 0) for p, y in zip(measured.scores.ravel(), measured.scale.ravel(), strict=True)]
    error = 0.0
    for number in range(BINS):
        inside = [c for c in cells if number <= c[0] * BINS < number + 1 or (number == BINS - 1 and c[0] == 1)]
        if inside:
            gap = np.mean([p for p, _ in inside]) - np.mean([y for _, y in inside])
            error += abs(gap) * len(inside) / len(cells)
    assert figures["ece"].estimate == pytest.approx(error)
    curve = reliability(measured)
    gaps = np.abs(np.array(curve.predicted) - curve.gold)
    assert (gaps * curve.options).sum() / len(cells) == pytest.approx(error)
    assert measured.sides is not None and measured.stances is not None
    for side, stance in zip(measured.sides.ravel(), measured.stances.ravel(), strict=True):
        if side in (1, -1) and not np.isnan(stance):
            told, agree = told + 1, agree + ((stance > 0.5) == (side > 0))
    assert figures["side_right"].estimate == pytest.approx(agree / told)
    for one in figures.values():
        assert one.low < one.estimate < one.high


def test_scores_that_are_no_probabilities_have_no_calibration(measured: Measured) -> None:
    bare = figures_of(Measured(measured.scores, measured.scale, probabilities=False))
    assert {"ece", "side_right"} & set(bare) == set()
    assert bare["auc_by_value"] == figures_of(measured)["auc_by_value"]


# ---------------------------------------------------------------- command


@pytest.fixture(scope="module")
def few(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("labels") / "few.csv"
    lines = selection.TEST.read_text(encoding="utf-8").splitlines(keepends=True)
    file.write_text("".join(lines[:1] + lines[1::25]), encoding="utf-8")
    return file


def test_the_command_measures_selectors_beside_baselines(
    few: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def unavailable(taxonomy: object, settings: object) -> object:
        raise selection.InputError("model", "is not here.", "Fetch it.")

    monkeypatch.setattr(selection, "SELECTORS", {"embedding": SELECTORS["embedding"], "far": SelectorKind(unavailable)})
    out, figure = tmp_path / "a.json", tmp_path / "a.svg"
    vital = tmp_path / "v.json"
    vital.write_text(json.dumps([{"situation": f"Lying {n}", "vrd": ["Honesty"] * (n % 2)} for n in range(40)]))
    options = ["--by-value", "--json", str(out), "--figure", str(figure), "--vital", str(vital)]
    selection.main(["--labels", str(few), *options])
    printed = capsys.readouterr()
    assert "far is not measured: model: is not here." in printed.err
    assert "| truthfulness |" in printed.out and "<svg" in figure.read_text()
    report = json.loads(out.read_text())
    assert report["situations"] == len(load_situations(few).texts)
    rows = report["rows"]
    assert list(rows) == ["popularity", "cosine to label", "cosine to definition", "embedding"]
    figures = {name: {key: one["estimate"] for key, one in row["figures"].items()} for name, row in rows.items()}
    assert figures["popularity"]["auc_by_value"] == 0.5 < figures["embedding"]["auc_by_value"]
    assert "ece" in figures["embedding"] and "ece" not in figures["cosine to label"]
    assert all(row["texts_a_second"] > 0 and row["milliseconds_alone"] > 0 for row in rows.values())


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--domain", "sea"], "Domains there are: "),
        (["--labels", "no.csv"], "no.csv"),
    ],
)
def test_unusable_arguments_are_refused(arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        selection.main(arguments)
    assert stopped.value.code == 2 and said in capsys.readouterr().err


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ("embedding,magic", "'magic' is unknown"),
        ("magic:embedding", "'magic:embedding' is unknown"),
        ("embedding,,nli", "'' is unknown"),
        ("", "'' is unknown"),
        ("mpnet:X", "'mpnet:X' names a model, but mpnet takes no other"),
        ("embedding,mpnet:", "'mpnet:' names a model, but mpnet takes no other"),
        ("nli:", "'nli:' names no model"),
    ],
)
def test_selectors_that_there_are_not_are_refused_before_anything_is_loaded(
    asked: str, said: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("Taxonomy", "load_situations", "load_encoder"):
        monkeypatch.delattr(selection, name)
    with pytest.raises(SystemExit) as stopped:
        selection.main(["--selectors", asked])
    told = capsys.readouterr().err
    assert stopped.value.code == 2 and said in told
    assert f"Choose of {', '.join(SELECTORS)}, " in told and "NAME:MODEL is for embedding, nli, model, both." in told


def test_selectors_are_made_with_the_model_that_is_asked_for() -> None:
    found = selection.asked_selectors("mpnet,nli:folder:with/colon,embedding")
    assert {name: model for name, (_, model) in found.items()} == {
        "mpnet": None,
        "nli:folder:with/colon": "folder:with/colon",
        "embedding": None,
    }
    assert list(selection.asked_selectors(None)) == list(SELECTORS)


def test_a_label_that_cannot_be_read_is_told_by_its_line(few: Path, tmp_path: Path) -> None:
    bad = tmp_path / "bad.csv"
    bad.write_text(few.read_text(encoding="utf-8") + "Singing,art,joy:2+\n", encoding="utf-8")
    line = len(bad.read_text(encoding="utf-8").splitlines())
    with pytest.raises(selection.InputError, match=f"line {line}.*'joy'"):
        selection.run(selection._parsed(["--labels", str(bad)]))
