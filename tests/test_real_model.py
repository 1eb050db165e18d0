"""The benchmark of real models, on the embedded one with few situations."""

from __future__ import annotations

import json
import sys
from contextlib import nullcontext

import pytest
from encoders import BagOfWords
from matplotlib.figure import Figure as Canvas

from benchmarks import real_model
from benchmarks.kept import digest
from benchmarks.real_model import FIGURES, HELD_OUT, ROWS, Comments, Row, commented
from benchmarks.reports import SHARE
from vispa.files.tables import read_table
from vispa.generation.transformers import TransformersEngine
from vispa.models.encoding import raw_prompt
from vispa.models.loading import load_model
from vispa.study.expression import Situation
from vispa.study.personas import persona
from vispa.study.taxonomy_judge import taxonomy_judge
from vispa.taxonomy import Taxonomy
from vispa.tuning.situations import development_situations


@pytest.fixture(scope="module")
def judge():
    return taxonomy_judge(Taxonomy.built_in(), BagOfWords())


@pytest.fixture
def run(judge, monkeypatch, tmp_path, capsys):
    """The command on two situations; gives the report and what was printed."""
    monkeypatch.setattr(real_model, "taxonomy_judge", lambda *_: judge)
    monkeypatch.setattr(real_model, "load_encoder", lambda: None)
    monkeypatch.setattr(real_model, "TOKENS", 8)

    def ran(*arguments):
        fixed = ["real_model", "--models", "embedded", "--situations", "2", "--json", str(tmp_path / "a.json")]
        monkeypatch.setattr(sys, "argv", [*fixed, *arguments])
        real_model.main()
        return json.loads((tmp_path / "a.json").read_text(encoding="utf-8")), capsys.readouterr().out

    return ran


def test_rows_are_measured_and_kept(run, monkeypatch, tmp_path):
    kept, figure = tmp_path / "kept.jsonl", tmp_path / "a.svg"
    report, printed = run("--resume", str(kept), "--figure", str(figure))
    rows = report["models"]["embedded"]
    assert list(rows) == list(ROWS)
    assert all(set(row["figures"]) == set(FIGURES) for row in rows.values())
    assert rows["unsteered"]["figures"]["fluency"]["estimate"] == pytest.approx(1.0)
    assert rows["unsteered"]["figures"]["leakage"] is None
    assert rows["tuned"]["figures"]["rank"]["estimate"] > rows["random"]["figures"]["rank"]["estimate"] + 0.05
    for row in rows.values():
        assert row["figures"]["hit"]["estimate"] == pytest.approx(sum(row["hit_by_value"].values()) / 31, abs=1e-3)
        assert row["figures"]["hit"]["n"] == 2 == len(row["examples"])
    said = [json.dumps(row["examples"]) for row in rows.values()]
    assert len(set(said)) == len(ROWS)  # no two rows say the same
    assert "learnt from comments" in printed and printed.count("| tuned recipe |") == 1
    assert "persona prompt on the same situations" in printed
    assert ROWS["persona_tuned"] in figure.read_text(encoding="utf-8")

    # What is kept is not written again, and a line that a stop left unfinished is.
    lines = kept.read_bytes().splitlines(keepends=True)
    assert len(lines) == len(ROWS)
    kept.write_bytes(b"".join(lines[:-1]) + lines[-1][:40])
    written = []
    monkeypatch.setattr(real_model, "commented", lambda *a, **k: written.append(a) or commented(*a, **k))
    again, _ = run("--resume", str(kept))
    assert len(written) == 1
    assert again == report


@pytest.mark.parametrize(("end", "is_parted"), [("\n", True), (" ", True), (":", False), ("said", False)])
def test_comments_kept_before_stand_where_white_space_parted_them_from_their_prompts(end, is_parted):
    engine = TransformersEngine(load_model("embedded"))
    situations = (Situation("Lying", raw_prompt(engine.loaded, f"Comment on lying{end}")),)
    parts = Comments(("karma",), None)._parts(Row(engine, None, situations))
    # As the key was before likelihoods were those of parted comments.
    before = [
        [engine.loaded.fingerprint, "torch.float32"], ("karma",), real_model.TOKENS, [[f"Comment on lying{end}"]], None
    ]  # fmt: skip
    assert (digest(parts) == digest(before)) is is_parted


@pytest.mark.parametrize("ends", [(0.0, 0.0), (1.0, 1.0), (0.4, 0.6), (0.0, 1.0)])
def test_the_figure_keeps_its_axes_to_their_scale(monkeypatch, ends):
    low, high = ends
    one = {"estimate": (low + high) / 2, "low": low, "high": high}
    canvas = Canvas()
    monkeypatch.setattr(real_model, "drawing", lambda *_: nullcontext(canvas))
    rows = {name: {"figures": {"fluency": one, "hit": one}} for name in ("unsteered", "tuned")}
    real_model.draw({"models": {"first": rows, "second": rows}}, None)
    assert len(canvas.axes) == 2
    for axis in canvas.axes:
        assert axis.get_xlim() == axis.get_ylim() == SHARE


def test_rows_that_are_not_wanted_are_left_out(run):
    report, _ = run("--rows", "persona")
    assert list(report["models"]["embedded"]) == ["unsteered", "persona"]


@pytest.mark.parametrize("arguments", [["--rows", "tuned,magic"], ["--situations", "0"]])
def test_unusable_arguments_are_refused(run, arguments):
    with pytest.raises(SystemExit) as stopped:
        run(*arguments)
    assert stopped.value.code == 2


def test_held_out_situations_are_no_development_situations():
    held_out = [row.fields["situation"] for row in read_table(HELD_OUT, ("situation",)).rows]
    assert len(held_out) == len(set(held_out)) >= 60
    assert not set(held_out) & set(development_situations())


def test_a_persona_avoids_what_its_value_avoids():
    values = Taxonomy.built_in()
    assert "avoiding toxicity" in persona(values["toxicity"]) and values["toxicity"].definition in persona(
        values["toxicity"]
    )
    assert "for whom honor counts" in persona(values["honor"])
