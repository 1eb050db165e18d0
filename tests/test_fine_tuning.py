"""Steering against fine-tuning: adapters against obvious references, and the command on a few situations."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from encoders import BagOfWords

from benchmarks.fine_tuning import __main__ as command
from benchmarks.fine_tuning import training
from benchmarks.fine_tuning.adapters import ALPHA, Adapters, adapted, adapted_layers
from benchmarks.fine_tuning.directions import FewerPairs
from benchmarks.fine_tuning.figures import ahead_from, at_fluency, difference_at_equal_fluency, paired, reached
from benchmarks.fine_tuning.lessons import KINDS, spread, written_lessons
from benchmarks.fine_tuning.section import section
from benchmarks.fine_tuning.serving import random_adapters, with_peft
from benchmarks.fine_tuning.writing import AdaptedEngine, AdaptedRow
from benchmarks.kept import Kept
from vispa.evaluation.intervals import Interval, PairedDifference
from vispa.generation.rows import Sampling
from vispa.models.encoding import raw_prompt
from vispa.steering.estimators import ESTIMATORS
from vispa.steering.fitting import fit_bank
from vispa.steering.recipe import Recipe, Steer
from vispa.study.expression import asked_situations
from vispa.study.taxonomy_judge import taxonomy_judge
from vispa.taxonomy import Taxonomy
from vispa.tuning.examples import Example
from vispa.tuning.situations import development_situations


@pytest.fixture
def loaded(make_model):
    return make_model()


def _merged(make_model, adapters, value, strength=1.0):
    """A model whose weights have the adapter inside."""
    merged = make_model()
    for name, layer in adapted_layers(merged).items():
        layer.weight.data += ALPHA * strength * adapters.up[name][value] @ adapters.down[name][value]
    return merged


def _estimator(name):
    return next(one for one in ESTIMATORS if one.name == name)


def _texts(engine, rows):
    return [one.ids for one in engine.generate(rows, Sampling(6))]


def test_every_row_has_its_own_adapter(make_model, loaded):
    adapters = random_adapters(loaded, 3, 2)
    ids = torch.tensor([[5, 9, 12]] * 4)
    with torch.no_grad(), adapted(loaded, adapters, [2, None, 0, 2], [1.0, 1.0, 0.5, 0.0]):
        found = loaded.model(ids).logits
    plain = make_model()
    for row, one in enumerate([_merged(make_model, adapters, 2), plain, _merged(make_model, adapters, 0, 0.5), plain]):
        with torch.no_grad():
            torch.testing.assert_close(found[row], one.model(ids).logits[row], rtol=1e-4, atol=1e-4)
    assert not torch.allclose(found[0], found[1], atol=1e-3)
    with torch.no_grad():
        torch.testing.assert_close(loaded.model(ids).logits, plain.model(ids).logits)  # The hooks are gone.


def test_rows_of_a_running_batch_keep_their_adapters(make_model, loaded):
    adapters = random_adapters(loaded, 3, 2, 0.3)
    engine = AdaptedEngine(loaded, adapters)
    # The same prompt and a common beginning: both are read once for several rows where nothing is adapted.
    prompts = [raw_prompt(loaded, text) for text in ("A common beginning, and A", "A common beginning, and B")]
    rows = [AdaptedRow(prompt, adapter=value) for prompt in prompts for value in (0, 1, 2, None)]
    merged = [AdaptedEngine(_merged(make_model, adapters, value), None) for value in range(3)]
    merged.append(AdaptedEngine(make_model(), None))
    expected = [_texts(one, [AdaptedRow(prompt)])[0] for prompt in prompts for one in merged]
    assert _texts(engine, rows) == expected
    assert len(set(expected)) > 4


def test_adapters_and_vectors_act_together(make_model, loaded, small_taxonomy):
    bank = fit_bank(loaded, small_taxonomy, estimators=[_estimator("mean_difference")])
    recipe = Recipe("mean_difference", magnitude="residual", amount=1.0, minimal_quality=0.0)
    adapters = random_adapters(loaded, 2, 2, 0.3)
    value = next(iter(small_taxonomy))
    prompt = raw_prompt(loaded, "Here")
    rows = [AdaptedRow(prompt, (Steer(value),), adapter=1), AdaptedRow(prompt, (Steer(value),)), AdaptedRow(prompt)]
    found = _texts(AdaptedEngine(loaded, adapters, bank, recipe), rows)
    alone = AdaptedEngine(_merged(make_model, adapters, 1), None, bank, recipe)
    assert found[0] == _texts(alone, [AdaptedRow(prompt, (Steer(value),))])[0]
    assert found[0] != found[1] != found[2]


def test_peft_computes_the_same(make_model, loaded):
    pytest.importorskip("peft")
    adapters, values = random_adapters(loaded, 3, 2), ["karma", "face", "self-direction"]
    ids = torch.tensor([[5, 9, 12, 40]] * 4)
    places = [1, 0, 2, 1]
    with torch.no_grad(), adapted(loaded, adapters, places, [1.0] * 4):
        expected = loaded.model(ids).logits
    model = with_peft(make_model(), adapters, values)
    with torch.no_grad():
        found = model(input_ids=ids, adapter_names=[values[place] for place in places]).logits
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


def test_training_together_is_training_alone(loaded, monkeypatch):
    """Adapters of a batch of values against one that AdamW and merged-free autograd train by themselves."""
    prompts = [raw_prompt(loaded, text) for text in ("one", "another one")]
    lessons = [
        [Example(place, prompt, f"word {place} {number}") for number, prompt in enumerate(prompts)] for place in (0, 1)
    ]
    before = {name: one.clone() for name, one in loaded.model.state_dict().items()}
    both = training.trained(loaded, lessons, 2, (1, 4))
    alone = training.trained(loaded, [[], lessons[1]], 2, (4,))[4]
    for name, up in both[4].up.items():
        torch.testing.assert_close(up[1], alone.up[name][1], rtol=1e-3, atol=1e-5)
        assert not alone.up[name][0].any() and up[0].any()
    assert all(torch.equal(one, before[name]) for name, one in loaded.model.state_dict().items())

    def loss(adapters):
        batch = [training._encoded(loaded, one) for own in lessons for one in own]
        values = [0, 0, 1, 1]
        with torch.no_grad(), adapted(loaded, adapters, values, [1.0] * 4):
            return float(training._loss(loaded, batch))

    assert loss(both[4]) < loss(both[1]) < loss(Adapters.new(loaded, 2, 2))


def test_only_the_text_and_its_end_are_learnt(loaded):
    """The loss of a batch against a slow reading of each row, parted from a prompt that ends in a word."""
    lessons = [Example(0, raw_prompt(loaded, "A long beginning"), "ab"), Example(0, raw_prompt(loaded, "B"), "abcdef")]
    total = 0.0
    for one in lessons:
        ids = [*one.prompt.ids, *loaded.tokenizer(f" {one.text}", add_special_tokens=False).input_ids, 2]
        logits = loaded.model(torch.tensor([ids])).logits[0].log_softmax(-1)
        own = [float(logits[place - 1, ids[place]]) for place in range(len(one.prompt.ids), len(ids))]
        total -= sum(own) / len(own)
    with torch.no_grad():
        found = training._loss(loaded, [training._encoded(loaded, one) for one in lessons])
    assert float(found) == pytest.approx(total, rel=1e-4)


# ---------------------------------------------------------------- lessons and directions


def test_written_comments_are_of_every_value_and_of_no_situation_that_is_measured(loaded):
    taxonomy = Taxonomy.built_in()
    lessons = written_lessons(loaded, list(taxonomy))
    assert [len(own) for own in lessons] == [48] * 31
    texts = {one.prompt.text for own in lessons for one in own}
    measured = [*development_situations(), *command.read_table(command.HELD_OUT, ("situation",)).rows]
    for one in measured:
        text = one if isinstance(one, str) else one.fields["situation"]
        assert asked_situations(loaded, [text])[0].plain.text not in texts


def test_fewer_are_spread_evenly():
    assert spread(100, 5) == [0, 25, 50, 74, 99]
    assert spread(3, 5) == [0, 1, 2]
    assert all(len(spread(100, most)) == most for most in (1, 5, 20, 50, 100))


def test_directions_of_all_pairs_are_the_banks(loaded, small_taxonomy):
    recipe = Recipe("one_versus_others_last", blocks=(1, 2), magnitude="residual", amount=0.1, minimal_quality=0.0)
    bank = fit_bank(loaded, small_taxonomy, estimators=[_estimator(recipe.estimator)])
    pairs = min(len(small_taxonomy.pairs(value)) for value in small_taxonomy)
    fewer = FewerPairs(loaded, small_taxonomy, recipe, 1000)
    whole, few = (fewer.bank(bank, size).entry(recipe.estimator).directions.vectors for size in (1000, pairs // 2))
    expected = bank.entry(recipe.estimator).directions.vectors
    torch.testing.assert_close(whole[:, 1:3], expected[:, 1:3], rtol=1e-4, atol=1e-5)
    assert not whole[:, 0].any() and not torch.allclose(few[:, 1], expected[:, 1], atol=1e-4)


def test_what_is_kept_is_not_made_again(tmp_path):
    path = tmp_path / "kept.jsonl"
    assert Kept(path).get(["a", 1], lambda: {"x": 1}) == {"x": 1}
    again = Kept(path)
    assert again.get(["a", 1], lambda: pytest.fail("made again")) == {"x": 1}
    assert again.get(["a", 2], lambda: {"x": 2}) == {"x": 2}
    assert len(path.read_bytes().splitlines()) == 2


# ---------------------------------------------------------------- figures


@pytest.mark.parametrize(("wanted", "expected"), [(0.5, 0.4), (0.75, 0.2), (0.2, 0.6), (1.0, 0.0)])
def test_expression_is_read_at_a_fluency(wanted, expected):
    assert at_fluency(np.array([1.0, 0.3, 0.5]), np.array([0.0, 0.6, 0.4]), wanted) == pytest.approx(expected)


def test_a_family_on_the_same_line_is_level_and_one_above_is_ahead():
    chance = np.random.default_rng(0)
    noise = chance.normal(0, 0.01, 40)
    family = [{"hit": hit + noise, "fluency": fluency + noise} for hit, fluency in ((0.0, 1.0), (0.4, 0.5))]
    level = {"hit": 0.2 + noise, "fluency": 0.75 + noise}
    low = {"hit": 0.1 + noise, "fluency": 0.75 + noise}
    found = difference_at_equal_fluency(family, level)
    assert found.low < 0.0 < found.high or abs(found.estimate) < 1e-9
    assert reached(difference_at_equal_fluency(family, low)) == "vectors express more"
    high = {"hit": 0.3 + noise, "fluency": 0.75 + noise}
    assert reached(difference_at_equal_fluency(family, high)) == "adapters express more"
    wide = Interval(estimate=0.0, low=-0.1, high=0.1, confidence=0.95, resamples=1, n=2)
    assert reached(wide) == "these situations do not tell"


@pytest.mark.parametrize(
    ("signs", "words"),
    [
        ((-1, 0, 1, 1), "adapters are ahead from 50 pairs on"),
        ((1, 1, 1, 1), "adapters are ahead from 5 pairs on"),
        ((-1, -1, -1, -1), "vectors are ahead at every number of pairs"),
        ((-1, 0, 0, 0), "vectors are ahead at 5 pairs; elsewhere these situations do not tell"),
        ((0, 0, 0, 0), "these situations do not tell at any number of pairs"),
        ((1, 0, 0, 0), "adapters are ahead at 5 pairs, and not told apart or behind at more"),
    ],
)
def test_from_how_many_pairs_on(signs, words):
    found: dict[int, PairedDifference] = {}
    for size, sign in zip((5, 20, 50, 100), signs, strict=True):
        noise = np.random.default_rng(size).normal(0, 1, 30)
        found[size] = paired(sign * 2.0 + noise - noise.mean(), np.zeros(30))
    assert ahead_from(found) == words


# ---------------------------------------------------------------- command


def test_the_command_measures_all_ways_and_goes_on(tmp_path: Path, monkeypatch, capsys):
    pytest.importorskip("peft")
    encoder = BagOfWords()
    judge = taxonomy_judge(Taxonomy.built_in(), encoder)
    monkeypatch.setattr(command, "taxonomy_judge", lambda *_: judge)
    monkeypatch.setattr(command, "load_encoder", lambda: encoder)
    # So few steps have to be long.
    monkeypatch.setattr(training, "RATE", 0.03)
    out, figure, kept = tmp_path / "a.json", tmp_path / "a.svg", tmp_path / "kept.jsonl"
    few = ["--values", "2", "--situations", "2", "--pairs", "2,4", "--tokens", "6", "--ranks", "2", "--steps", "4,8"]
    options = [*few, "--learnt", "3", "--rounds", "1", "--json", str(out), "--figure", str(figure)]
    report = command.main([*options, "--resume", str(kept)])
    assert json.loads(out.read_text(encoding="utf-8")) == json.loads(json.dumps(report))
    printed = capsys.readouterr().out
    assert report["command"].startswith("python -m benchmarks.fine_tuning --model embedded --values 2 ")
    assert section(report) in printed and "<svg" in figure.read_text(encoding="utf-8")
    rows = report["rows"]
    kinds = [kind for kind in KINDS if any(report["lessons"][kind])]
    assert {"pairs", "written"} <= set(kinds)
    assert {f"adapters {kind}" for kind in kinds} | {"vectors", "vectors of 2", "persona"} <= set(rows)
    assert rows["unsteered"]["figures"]["fluency"]["estimate"] == pytest.approx(1.0)
    said = {name: json.dumps(row["examples"]) for name, row in rows.items()}
    assert said["adapters written"] != said["unsteered"] != said["vectors"]
    layers = 6 * (4 * 512 + 3 * 896)
    assert rows["adapters pairs"]["bytes"] == 4 * 2 * 2 * layers
    assert set(report["answers"]) == set(kinds)
    assert report["serving"]["same_texts_peft"] == 31
    assert report["serving"]["vectors_to_peft"]["median"] > 0
    monkeypatch.setattr("benchmarks.fine_tuning.study.trained", lambda *_, **__: pytest.fail("trained again"))
    monkeypatch.setattr("benchmarks.fine_tuning.study.written", lambda *_, **__: pytest.fail("written again"))
    assert json.loads(json.dumps(command.main([*options, "--resume", str(kept)]))) == json.loads(json.dumps(report))


@pytest.mark.parametrize("arguments", [["--pairs", "0,5"], ["--values", "none"], ["--situations", "0"]])
def test_unusable_arguments_are_refused(arguments):
    with pytest.raises(SystemExit) as stopped:
        command.main(arguments)
    assert stopped.value.code == 2
