"""The study of a bank against slow references: one row at a time, one token at a time."""

from __future__ import annotations

import csv
import json
import math
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
import typer
from conftest import write_taxonomy
from engines import generate
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from vispa.cli.inspect import inspect
from vispa.errors import InputError
from vispa.generation import continuations
from vispa.generation.prompts import everyday_prompts
from vispa.generation.rows import Row, Sampling
from vispa.generation.transformers import TransformersEngine
from vispa.models.batching import DECODING, Budget
from vispa.models.encoding import Prompt, raw_prompt
from vispa.models.loading import LoadedModel
from vispa.steering.bank import VectorBank
from vispa.steering.estimators.mean_difference import MeanDifference
from vispa.steering.fitting import fit_bank
from vispa.steering.magnitudes import MAGNITUDES
from vispa.steering.recipe import Recipe, Steer
from vispa.study import figures
from vispa.study.dose import DoseResponse, DoseRow, at_magnitude, dose_response, one_per_family
from vispa.study.figures import draw_dose, draw_leakage, draw_quality, draw_similarity
from vispa.study.fluency import continuation, mean_perplexity, perplexities, repeated_shares
from vispa.study.inspection import inspect_bank, recipe_for
from vispa.study.leakage import Leakage, leakage
from vispa.study.probing import probe_logits
from vispa.study.quality import Quality, quality
from vispa.study.similarity import Similarity, cluster_order, similarity
from vispa.study.tables import write_tables
from vispa.taxonomy import Taxonomy

PROMPTS = ["Is it fair?", "Should I sell the old house to a stranger", "Yes.\n"]


def raw(loaded: LoadedModel, prompts: Sequence[str] = PROMPTS) -> list[Prompt]:
    return [raw_prompt(loaded, prompt) for prompt in prompts]


RECIPE = Recipe("one_versus_others", (1, 2), magnitude="residual", amount=0.4, minimal_quality=0.0)
CALIBRATED = Recipe("probe", (2,), amount=0.95, minimal_quality=0.0)


@pytest.fixture(scope="module")
def bank(llama: LoadedModel, small_taxonomy: Taxonomy) -> VectorBank:
    return fit_bank(llama, small_taxonomy, recipe=RECIPE)


@pytest.fixture
def forward_passes(llama: LoadedModel) -> Callable[[], int]:
    """How often the model's first block has run so far."""
    calls: Counter[str] = Counter()
    handle = llama.blocks[0].register_forward_pre_hook(lambda *_: calls.update(["pass"]))
    yield lambda: calls["pass"]
    handle.remove()


# ---------------------------------------------------------------- slow references


@torch.no_grad()
def slow_perplexity(loaded: LoadedModel, prompt: str, text: str) -> float:
    """Each token of a byte tokenizer's text from a pass of its own."""
    before = loaded.tokenizer(prompt)["input_ids"]
    ids = loaded.tokenizer(prompt + text)["input_ids"]
    losses = []
    for place in range(len(before), len(ids)):
        probabilities = loaded.model(torch.tensor([ids[:place]])).logits[0, -1].double().softmax(-1)
        losses.append(-math.log(float(probabilities[ids[place]])))
    return math.exp(sum(losses) / len(losses))


@torch.no_grad()
def slow_logits(loaded: LoadedModel, bank: VectorBank, prompt: str, shifts: dict[int, torch.Tensor], block: int):
    """Every probe's logit after a block, for one unpadded prompt with shifts added at all positions."""
    states = {}
    handles = []
    for number, module in enumerate(loaded.blocks):

        def hook(_m: object, _i: object, output: object, number: int = number) -> object:
            hidden = output[0] if isinstance(output, tuple) else output
            hidden = hidden + shifts.get(number, torch.zeros(()))
            states[number] = hidden[0, -1]
            return (hidden, *output[1:]) if isinstance(output, tuple) else hidden

        handles.append(module.register_forward_hook(hook))
    loaded.model(torch.tensor([loaded.tokenizer(prompt)["input_ids"]]))
    for handle in handles:
        handle.remove()
    probe = bank.entries["probe"].directions
    return [
        float(probe.weight_norm[v, block] * (probe.vectors[v, block] @ states[block]) + probe.bias[v, block])
        for v in range(len(bank.info.values))
    ]


def residual_shifts(bank: VectorBank, value: str, amount: float) -> dict[int, torch.Tensor]:
    vectors = bank.entries["one_versus_others"].directions.vectors[bank.row(value)]
    return {b: amount * bank.residual_norm[b] * vectors[b] / vectors[b].norm() for b in (1, 2)}


def logistic(logit: float) -> float:
    return 1 / (1 + math.exp(-logit))


# ---------------------------------------------------------------- quality and similarity


def test_quality_is_the_banks(bank: VectorBank) -> None:
    table = quality(bank, "mean_difference")
    entry = bank.entries["mean_difference"].directions
    assert table.values == ("calm", "thrift", "candor")
    for v in range(3):
        for b in range(4):
            assert table.accuracy[v, b] == pytest.approx(float(entry.quality[v, b]))
            assert table.separation[v, b] == pytest.approx(float(entry.separation[v, b]))
            expected = float(entry.vectors[v, b].norm() / bank.residual_norm[b])
            assert table.relative_norm[v, b] == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("blocks", [(3,), (0, 2), None])
def test_similarity_is_the_cosine_of_joined_directions(bank: VectorBank, blocks: tuple[int, ...] | None) -> None:
    table = similarity(bank, "one_versus_others", blocks=blocks)
    used = blocks or (1, 2)
    assert table.blocks == used
    vectors = bank.entries["one_versus_others"].directions.vectors.double()
    for i, first in enumerate(vectors):
        for j, second in enumerate(vectors):
            one, two = torch.cat([first[b] for b in used]), torch.cat([second[b] for b in used])
            assert table.cosine[i, j] == pytest.approx(float(one @ two / one.norm() / two.norm()), abs=1e-9)
    assert sorted(table.order) == [0, 1, 2]
    others = {j: table.cosine[0, j] for j in (1, 2)}
    best = max(others, key=lambda j: others[j])
    assert table.nearest("calm") == (table.values[best], pytest.approx(others[best]))


@given(st.integers(1, 9), st.integers(0, 10_000))
def test_clusters_are_neighbours_in_the_order(count: int, seed: int) -> None:
    """Whatever naive average linkage joins stands side by side."""
    points = np.random.default_rng(seed).normal(size=(count, 4))
    points /= np.linalg.norm(points, axis=1, keepdims=True)
    cosine = points @ points.T
    order = cluster_order(cosine)
    assert sorted(order) == list(range(count))
    clusters = [[i] for i in range(count)]
    while len(clusters) > 1:
        pairs = [(a, b) for a in range(len(clusters)) for b in range(a)]
        a, b = min(pairs, key=lambda ab: np.mean([1 - cosine[i, j] for i in clusters[ab[0]] for j in clusters[ab[1]]]))
        joined = clusters[a] + clusters[b]
        places = sorted(order.index(i) for i in joined)
        assert places == list(range(places[0], places[0] + len(places)))
        clusters = [c for k, c in enumerate(clusters) if k not in (a, b)] + [joined]


def test_a_direction_of_no_length_is_like_no_other(bank: VectorBank) -> None:
    vectors = bank.entries["projection"].directions.vectors
    kept = vectors[0, 1].clone()
    vectors[0, 1] = 0
    table = similarity(bank, "projection", blocks=[1])
    vectors[0, 1] = kept
    np.testing.assert_array_equal(table.cosine[0], [1, 0, 0])


@pytest.mark.parametrize("blocks", [(4,), (-1,), ()])
def test_similarity_refuses_unknown_blocks(bank: VectorBank, blocks: tuple[int, ...]) -> None:
    with pytest.raises(InputError, match="blocks"):
        similarity(bank, "probe", blocks=blocks)


def test_unknown_estimator_is_refused(bank: VectorBank) -> None:
    for study in (quality, similarity, recipe_for):
        with pytest.raises(InputError, match="'lasso' is not in the bank"):
            study(bank, "lasso")


# ---------------------------------------------------------------- fluency


@pytest.mark.parametrize("kind", ["llama", "gpt2"])
@pytest.mark.parametrize("budget", [16384, 40])
def test_perplexity_equals_one_token_at_a_time(
    kind: str, budget: int, make_model: Callable[..., LoadedModel], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(continuations, "DECODING", Budget(budget, rows=256))
    loaded = make_model(kind, initializer_range=0.1)
    prompts = [*PROMPTS, "A walk", "A longer prompt than all the others, to pad them"]
    texts = [" No.", "x", "A text of many words, more than the rest", " ü", " y z"]
    found = perplexities(loaded, raw(loaded, prompts), texts)
    for prompt, text, perplexity in zip(prompts, texts, found, strict=True):
        assert perplexity == pytest.approx(slow_perplexity(loaded, prompt, text), rel=1e-4)


def test_texts_are_scored_in_batches(llama: LoadedModel, forward_passes: Callable[[], int]) -> None:
    done: list[int] = []
    perplexities(llama, raw(llama) * 20, ["some text", "", "another"] * 20, done.append)
    # One over the prompts, one over the texts.
    assert forward_passes() == 2
    assert sum(done) == 60


def test_large_vocabularies_make_small_batches(llama: LoadedModel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(continuations, "LOGITS_PER_TOKEN", 1)
    sizes: list[int] = []
    handle = llama.model.get_output_embeddings().register_forward_hook(lambda _m, _i, out: sizes.append(out.numel()))
    found = perplexities(llama, raw(llama) * 10, ["some text", "x", "another"] * 10)
    handle.remove()
    assert len(sizes) > 1 and max(sizes) <= (DECODING.tokens or 0)
    monkeypatch.undo()
    np.testing.assert_allclose(
        found, perplexities(llama, raw(llama) * 10, ["some text", "x", "another"] * 10), rtol=1e-5
    )


def test_a_text_without_tokens_has_no_perplexity(llama: LoadedModel) -> None:
    found = perplexities(llama, raw(llama, ["a", "b"]), ["", " c"])
    assert np.isnan(found[0]) and found[1] > 0
    assert perplexities(llama, [], []).shape == (0,)
    with pytest.raises(InputError, match="texts"):
        perplexities(llama, raw(llama, ["a"]), [])


def test_mean_perplexity_is_geometric_and_leaves_out_nothing_said() -> None:
    found = mean_perplexity(np.array([[2.0, 8.0, np.nan], [np.nan] * 3]), (1,))
    assert found[0] == pytest.approx(4.0) and np.isnan(found[1])


def test_continuation_parts_text_from_prompt() -> None:
    assert continuation("Why?", "So.") == " So."
    assert continuation("Why?\n", "So.") == "So."
    assert continuation("Why?", "") == "" and continuation("", "So.") == "So."


@given(st.lists(st.sampled_from(["a", "b", "c"]), max_size=30), st.integers(1, 4))
def test_repetition_equals_counting(words: list[str], length: int) -> None:
    seen: list[list[str]] = []
    repeated = total = 0
    for start in range(len(words) - length + 1):
        gram = words[start : start + length]
        repeated += gram in seen
        total += 1
        seen.append(gram)
    share = repeated_shares([" ".join(words)], length=length)[0]
    assert share == pytest.approx(repeated / total if total else 0.0)
    assert 0 <= share < 1


def test_repetition_needs_words() -> None:
    assert repeated_shares(["", "one two", "a b c a b c a b c"]).tolist() == [0, 0, pytest.approx(4 / 7)]
    with pytest.raises(InputError, match="length"):
        repeated_shares(["a"], length=0)


# ---------------------------------------------------------------- probes, leakage


def test_probes_equal_one_row_at_a_time(
    llama: LoadedModel, bank: VectorBank, forward_passes: Callable[[], int]
) -> None:
    values: list[str | None] = [None, "calm", "candor"]
    rows = [Row(p, () if v is None else (Steer(v),)) for p in raw(llama) for v in values]
    found = probe_logits(TransformersEngine(llama, bank), rows, 2)
    assert forward_passes() == 1
    for row, logits in zip(rows, found, strict=True):
        shifts = residual_shifts(bank, row.steers[0].value, 0.4) if row.steers else {}
        np.testing.assert_allclose(logits, slow_logits(llama, bank, row.prompt.text, shifts, 2), atol=2e-3, rtol=1e-3)


def test_probes_need_prompts_and_a_probe(llama: LoadedModel, bank: VectorBank, small_taxonomy: Taxonomy) -> None:
    with pytest.raises(InputError, match="prompts"):
        leakage(llama, bank, [])
    for estimators, message in (([MeanDifference()], "'probe' is not"), ([MeanDifference("probe")], "no probability")):
        other = fit_bank(llama, small_taxonomy, estimators=estimators, recipe=RECIPE)
        with pytest.raises(InputError, match=message):
            probe_logits(TransformersEngine(llama, other), [Row(raw_prompt(llama, "a"))], 1)


def test_leakage_is_steered_minus_unsteered(
    llama: LoadedModel, bank: VectorBank, forward_passes: Callable[[], int]
) -> None:
    done: list[tuple[str, int, int]] = []
    found = leakage(llama, bank, raw(llama), progress=lambda *told: done.append(told))
    assert forward_passes() == 1
    assert done == [("reading leakage", 12, 12)]
    assert found.block == 2
    plain = np.array([slow_logits(llama, bank, p, {}, 2) for p in PROMPTS])
    probability = np.vectorize(logistic)
    np.testing.assert_allclose(found.unsteered, probability(plain).mean(0), atol=1e-4)
    for i, value in enumerate(found.values):
        steered = np.array([slow_logits(llama, bank, p, residual_shifts(bank, value, 0.4), 2) for p in PROMPTS])
        np.testing.assert_allclose(found.change[i], (probability(steered) - probability(plain)).mean(0), atol=1e-3)
        np.testing.assert_allclose(found.logit_change[i], (steered - plain).mean(0), atol=5e-3, rtol=1e-3)
    np.testing.assert_allclose(found.accuracy, bank.entries["probe"].directions.quality[:, 2])
    moved = {j: abs(found.change[0, j]) for j in (1, 2)}
    assert found.strongest("calm")[0] == found.values[max(moved, key=lambda j: moved[j])]


def test_calibrated_steering_brings_the_own_probe_to_its_target(llama: LoadedModel, bank: VectorBank) -> None:
    found = leakage(llama, bank, raw(llama)[:1], recipe=CALIBRATED)
    for place in range(3):
        expected = max(0.95, found.unsteered[place])
        assert found.unsteered[place] + found.change[place, place] == pytest.approx(expected, abs=1e-3)


# ---------------------------------------------------------------- dose-response


def test_dose_rows_equal_rows_alone(llama: LoadedModel, bank: VectorBank, forward_passes: Callable[[], int]) -> None:
    magnitudes, values = (0.0, 1.0, 3.0), ("candor", "calm")
    found = dose_response(llama, bank, raw(llama), values, magnitudes=magnitudes, sampling=Sampling(8))
    # One pass for the probes, two for the scores, and one for each of at most 8 tokens.
    assert forward_passes() <= 11
    assert len(found.rows) == 4 * 2 * 3
    expected = [(m, v, p) for m in (None, *magnitudes) for v in values for p in range(3)]
    assert [(row.magnitude, row.value, row.prompt) for row in found.rows] == expected
    for row in found.rows:
        prompt, amount = PROMPTS[row.prompt], 0.4 * (row.magnitude or 0)
        logit = slow_logits(llama, bank, prompt, residual_shifts(bank, row.value, amount), 2)[bank.row(row.value)]
        assert row.probability == pytest.approx(logistic(logit), abs=1e-3)
        recipe = Recipe("one_versus_others", (1, 2), magnitude="residual", amount=amount, minimal_quality=0.0)
        steers = () if row.magnitude is None else (Steer(row.value, recipe=recipe),)
        alone = generate(llama, [Row(raw_prompt(llama, prompt), steers)], Sampling(8), bank)[0]
        assert row.text == alone.text
        assert row.shift == pytest.approx(alone.shift, abs=1e-3)
        if row.text:
            slow = slow_perplexity(llama, prompt, continuation(prompt, row.text))
            assert row.perplexity == pytest.approx(slow, rel=1e-3)
        assert row.repetition == repeated_shares([row.text])[0]


def test_dose_means(llama: LoadedModel) -> None:
    rows = [
        DoseRow(m, v, p, probability=i / 10, perplexity=2.0**i, repetition=0.0, shift={}, text="")
        for i, (m, v, p) in enumerate((m, v, p) for m in (None, 1.0) for v in ("a", "b") for p in (0, 1))
    ]
    found = DoseResponse(RECIPE, 2, (1.0,), ("a", "b"), ("x", "y"), tuple(rows))
    np.testing.assert_allclose(found.by_value("probability"), [[0.05, 0.25], [0.45, 0.65]])
    np.testing.assert_allclose(found.overall("probability"), [0.15, 0.55])
    np.testing.assert_allclose(found.overall("perplexity"), [2**1.5, 2**5.5])


def test_magnitudes_multiply_amounts_or_set_targets() -> None:
    table = Recipe("mean_difference", magnitude="coefficient", table="alpha")
    assert at_magnitude(table, "benevolence", 2.0).amount_for("benevolence") == pytest.approx(0.16)
    assert at_magnitude(RECIPE, "calm", 0.5).amount == pytest.approx(0.2)
    assert at_magnitude(CALIBRATED, "calm", 0.7).amount == 0.7
    assert max(MAGNITUDES["calibrated"].steps) < 1 < max(MAGNITUDES["residual"].steps)
    for recipe, magnitude in ((CALIBRATED, 1.5), (RECIPE, math.inf)):
        with pytest.raises(InputError, match="amount"):
            at_magnitude(recipe, "calm", magnitude)


@pytest.mark.parametrize("field", ["prompts", "values", "magnitudes"])
def test_dose_needs_something_of_everything(llama: LoadedModel, bank: VectorBank, field: str) -> None:
    given = {"prompts": raw(llama), "values": ["calm"], "magnitudes": [1.0], field: []}
    with pytest.raises(InputError, match=f"{field}: are none"):
        dose_response(llama, bank, given["prompts"], given["values"], magnitudes=given["magnitudes"])


def test_dose_refuses_unknown_values(llama: LoadedModel, bank: VectorBank) -> None:
    with pytest.raises(InputError, match="'valor' is not in the bank"):
        dose_response(llama, bank, raw(llama), ["valor"])


def test_one_value_of_every_family() -> None:
    taxonomy = Taxonomy.built_in()
    chosen = one_per_family(taxonomy)
    assert chosen[0] == "self-direction"
    assert {taxonomy[value].family for value in chosen} == {value.family for value in taxonomy.values}
    assert len(chosen) == 5


# ---------------------------------------------------------------- all parts together


def test_recipes_of_other_estimators(llama: LoadedModel, small_taxonomy: Taxonomy, bank: VectorBank) -> None:
    assert recipe_for(bank, "one_versus_others") == RECIPE
    moved = recipe_for(bank, "probe")
    assert (moved.estimator, moved.magnitude, moved.amount, moved.blocks) == ("probe", "residual", 0.4, (1, 2))
    calibrated = fit_bank(llama, small_taxonomy, recipe=CALIBRATED)
    assert recipe_for(calibrated, "projection").magnitude == "residual"
    calibrated.plan(["calm"], recipe_for(calibrated, "projection"))


def test_only_what_is_asked_for(llama: LoadedModel, bank: VectorBank, forward_passes: Callable[[], int]) -> None:
    found = inspect_bank(llama, bank, raw(llama), ["calm"], parts=["similarity"], estimator="probe")
    assert forward_passes() == 0
    assert found.similarity.estimator == "probe"
    assert found.quality is found.dose is found.leakage is None
    with pytest.raises(InputError, match="parts"):
        inspect_bank(llama, bank, raw(llama), ["calm"], parts=["speed"])
    with pytest.raises(InputError, match="needs situations and a judge"):
        inspect_bank(llama, bank, raw(llama), ["calm"], parts=["expression"])


def test_tables_hold_what_was_found(llama: LoadedModel, bank: VectorBank, tmp_path: Path) -> None:
    found = inspect_bank(llama, bank, raw(llama)[:2], ["calm"], sampling=Sampling(3))
    written = write_tables(found, tmp_path / "new" / "folder")
    assert [path.name for path in written] == [
        *("quality.csv", "similarity.csv", "dose.csv", "leakage.csv", "inspection.json")
    ]
    tables = {path.stem: list(csv.reader(path.open(encoding="utf-8"))) for path in written[:-1]}
    assert len(tables["quality"]) == 1 + 3 * 4
    assert float(tables["quality"][6][2]) == pytest.approx(found.quality.accuracy[1, 1], rel=1e-5)
    names = [found.similarity.values[place] for place in found.similarity.order]
    assert tables["similarity"][0] == ["value", *names] == ["value", *(row[0] for row in tables["similarity"][1:])]
    assert len(tables["dose"]) == 1 + len(found.dose.rows)
    assert [row[-1] for row in tables["dose"][1:]] == [row.text for row in found.dose.rows]
    leak = {(row[0], row[1]): float(row[3]) for row in tables["leakage"][1:]}
    assert leak["thrift", "candor"] == pytest.approx(found.leakage.change[1, 2], rel=1e-5)
    everything = json.loads(written[-1].read_text(encoding="utf-8"))
    assert everything["recipe"]["estimator"] == "one_versus_others"
    assert everything["dose"]["magnitudes"][0] is None
    assert len(everything["leakage"]["change"]) == 3
    assert everything["left_out_blocks"] == {"calm": [], "thrift": [], "candor": []}
    assert everything["model_fingerprint"] == llama.fingerprint


# ---------------------------------------------------------------- figures

NAMES = tuple(f"value_{number}" for number in range(31))


def made_up(kind: str) -> object:
    """A part with 31 values."""
    numbers = np.random.default_rng(0)
    square = numbers.uniform(-1, 1, (31, 31))
    if kind == "quality":
        return Quality("probe", NAMES, *(numbers.uniform(0.4, 1, (31, 40)) for _ in range(3)))
    if kind == "similarity":
        return Similarity("probe", (3, 4, 5, 9), NAMES, square, tuple(range(30, -1, -1)))
    if kind == "leakage":
        return Leakage(7, NAMES, square[0], square[1], square, square)
    rows = [
        DoseRow(m, v, 0, 0.5, math.nan if m == 1 else 3.0 + number, 0.1, {}, "")
        for m in (None, 2.0, 1.0)
        for number, v in enumerate(NAMES)
    ]
    return DoseResponse(RECIPE, 7, (2.0, 1.0), NAMES, ("a",), tuple(rows))


DRAW = {"quality": draw_quality, "similarity": draw_similarity, "leakage": draw_leakage, "dose": draw_dose}


@pytest.mark.parametrize("kind", sorted(DRAW))
def test_figures_name_all_values_and_are_the_same_every_time(kind: str, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    labels = {name: name.replace("_", " ").title() for name in NAMES}
    for name in ("one.svg", "two.svg"):
        DRAW[kind](made_up(kind), tmp_path / name, labels)
    first = (tmp_path / "one.svg").read_text(encoding="utf-8")
    assert all(f">{label}<" in first for label in labels.values())
    assert first == (tmp_path / "two.svg").read_text(encoding="utf-8")
    assert "dc:date" not in first
    assert sorted(path.name for path in tmp_path.iterdir()) == ["one.svg", "two.svg"]


def test_png_files_are_the_same_every_time(tmp_path: Path) -> None:
    matplotlib = pytest.importorskip("matplotlib")
    files = [tmp_path / "one.png", tmp_path / "two.png"]
    draw_dose(made_up("dose"), files[0])
    with matplotlib.rc_context({"font.size": 20}):
        draw_dose(made_up("dose"), files[1])
    assert files[0].read_bytes()[:4] == b"\x89PNG"
    assert files[0].read_bytes() == files[1].read_bytes()


def test_figures_need_matplotlib_and_a_known_suffix(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match=r"End it with \.png or \.svg"):
        draw_dose(made_up("dose"), tmp_path / "dose.gif")
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(InputError, match=r"Install matplotlib"):
        draw_dose(made_up("dose"), tmp_path / "dose.png")
    assert not list(tmp_path.iterdir())


def test_runs_of_blocks_are_shortened() -> None:
    assert figures._ranges((2, 3, 4, 5, 9)) == "2–5, 9"


# ---------------------------------------------------------------- command line


@pytest.fixture(scope="module")
def folders(llama: LoadedModel, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """A saved model and a taxonomy."""
    folder = tmp_path_factory.mktemp("inspect")
    llama.model.save_pretrained(folder / "model")
    llama.tokenizer.save_pretrained(folder / "model")
    (folder / "taxonomy").mkdir()
    return str(folder / "model"), str(write_taxonomy(folder / "taxonomy"))


@pytest.fixture
def command(folders: tuple[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., object]:
    monkeypatch.setenv("VISPA_CACHE", str(Path(folders[0]).parent / "cache"))
    monkeypatch.setenv("COLUMNS", "100")
    app = typer.Typer(pretty_exceptions_enable=False)
    app.command("inspect")(inspect)

    def run(*arguments: str) -> object:
        fixed = [folders[0], "--taxonomy", folders[1], "--dtype", "float32", "--device", "cpu"]
        return CliRunner().invoke(app, [*fixed, "--output", str(tmp_path / "out"), *arguments])

    return run


def test_command_writes_everything(command: Callable[..., object], tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    prompts = tmp_path / "prompts.txt"
    prompts.write_text("Is it fair?\n\nA walk\n", encoding="utf-8")
    found = command("--prompts", str(prompts), "--max-new-tokens", "4", "--figures", "svg", "--estimator", "probe")
    assert found.exit_code == 0, found.output
    for words in ("Directions", "Leakage", "Dose (calm)", "thrift", "unsteered", "dose.svg"):
        assert words in found.output
    parts = ("quality", "similarity", "dose", "leakage")
    expected = {f"{part}.{suffix}" for part in parts for suffix in ("csv", "svg")} | {"inspection.json"}
    assert {path.name for path in (tmp_path / "out").iterdir()} == expected
    kept = json.loads((tmp_path / "out" / "inspection.json").read_text(encoding="utf-8"))
    assert kept["prompts"] == ["Is it fair?", "A walk"]


def test_command_prints_json(command: Callable[..., object], tmp_path: Path) -> None:
    arguments = ("--only", "dose,quality", "--figures", "none", "--values", "candor", "--max-new-tokens", "2")
    found = command(*arguments, "--json")
    assert found.exit_code == 0, found.output
    summary = json.loads(found.stdout.splitlines()[-1])
    assert [row["value"] for row in summary["directions"]] == ["calm", "thrift", "candor"]
    assert "leakage" not in summary and "nearest" not in summary["directions"][0]
    assert summary["dose"][0]["magnitude"] == "unsteered"
    assert summary["prompts"] == len(everyday_prompts()) >= 5
    assert {Path(path).name for path in summary["files"]} == {"quality.csv", "dose.csv", "inspection.json"}


def test_command_judges_comments_on_a_users_values(command: Callable[..., object], tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    found = command("--only", "expression", "--figures", "svg")
    assert found.exit_code == 0, found.output
    for words in ("own pairs, on which the vectors were fitted too", "harmonic mean", "leaks to", "expression.svg"):
        assert words in found.output
    assert {path.name for path in (tmp_path / "out").iterdir()} == {f"expression.{s}" for s in ("csv", "svg")} | {
        "inspection.json"
    }
    kept = json.loads((tmp_path / "out" / "inspection.json").read_text(encoding="utf-8"))["expression"]
    assert kept["judge"]["learnt_from"] == "pairs" and kept["judge"]["accuracy"]["hits"] > 0.5
    rows = [row for row in kept["rows"] if row["steering"] == "steered"]
    assert len(rows) == 8 * 3 and len({row["situation"] for row in rows}) == 8
    for row in kept["by_value"]:
        own = [one["hit"] for one in rows if one["value"] == row["value"]]
        assert row["hit"] == pytest.approx(sum(own) / 8, abs=1e-5)
    again = command("--only", "expression", "--figures", "none", "--json")
    assert again.exit_code == 0, again.output
    summary = json.loads(again.stdout.splitlines()[-1])
    assert "rows" not in summary["expression"]
    assert summary["expression"]["by_value"] == kept["by_value"]


@pytest.mark.parametrize(
    ("arguments", "field"),
    [
        (["--only", "quality,speed"], "--only"),
        (["--only", ","], "--only"),
        (["--figures", "pdf"], "--figures"),
        (["--max-new-tokens", "0"], "max-new-tokens"),
        (["--values", "valor"], "value"),
        (["--prompts", "nowhere.txt"], "nowhere.txt"),
        (["--estimator", "lasso"], "estimator"),
        (["--output", __file__], __file__),
        (["--output", f"{__file__}/below"], f"{__file__}/below"),
    ],
)
def test_command_refuses_bad_input(command: Callable[..., object], arguments: list[str], field: str) -> None:
    found = command(*arguments)
    assert isinstance(found.exception, InputError)
    assert found.exception.field == field
