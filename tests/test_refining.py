"""Refined directions: trained vectors, on the embedded model and its own comments."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch

from vispa.generation.rows import Row, Sampling
from vispa.generation.transformers import TransformersEngine
from vispa.models.encoding import chat_prompt
from vispa.models.loading import EMBEDDED, load_model
from vispa.steering.bank_cache import cached_bank
from vispa.steering.recipe import Recipe, Steer
from vispa.study.fluency import continuation, perplexities
from vispa.taxonomy import Taxonomy
from vispa.tuning import refining
from vispa.tuning.examples import Example
from vispa.tuning.refining import fixed_vectors, refined_vectors, with_refined
from vispa.tuning.search import ESTIMATOR

_BLOCKS = (1, 2)


@pytest.fixture(scope="module")
def loaded():
    return load_model(EMBEDDED)


@pytest.fixture(scope="module")
def bank(loaded):
    return cached_bank(loaded, Taxonomy.built_in())


@pytest.fixture(scope="module")
def weak(bank):
    return Recipe(ESTIMATOR, blocks=_BLOCKS, magnitude="residual", amount=0.1, minimal_quality=0.0)


@pytest.fixture(scope="module")
def examples(loaded, bank):
    """What the embedded model's own, well chosen recipe makes it say for two values."""
    engine = TransformersEngine(loaded, bank)
    prompts = [
        chat_prompt(loaded, f"Please comment on the following situation: {text}")
        for text in ("Lying to a friend", "Selling my late father's watch", "Skipping school")
    ]
    rows = [Row(prompt, (Steer(value),)) for value in ("karma", "honor") for prompt in prompts]
    places = [bank.row(value) for value in ("karma", "honor") for _ in prompts]
    texts = [one.text for one in engine.generate(rows, Sampling(16))]
    return [Example(place, row.prompt, text) for place, row, text in zip(places, rows, texts, strict=True)]


def _fixed(bank, vectors, recipe):
    refined = Recipe("refined", blocks=_BLOCKS, magnitude="coefficient", amount=1.0, minimal_quality=0.0)
    return with_refined(bank, vectors, recipe), refined


def test_a_fixed_recipe_adds_these_vectors(loaded, bank, weak):
    vectors = fixed_vectors(bank, weak)
    assert vectors.norm(dim=-1)[:, list(_BLOCKS)].numpy() == pytest.approx(
        (0.1 * bank.residual_norm[list(_BLOCKS)]).expand(31, 2).numpy(), rel=1e-4
    )
    assert not vectors[:, 0].any() and not vectors[:, 3:].any()
    again, recipe = _fixed(bank, vectors, weak)
    rows = [Row(chat_prompt(loaded, "Lying to a friend"), (Steer("karma"),))]
    texts = [
        TransformersEngine(loaded, *own).generate(rows, Sampling(16))[0].text for own in ((bank, weak), (again, recipe))
    ]
    assert texts[0] == texts[1]


def test_refined_vectors_make_their_comments_likelier_and_are_no_longer(loaded, bank, weak, examples):
    start = fixed_vectors(bank, weak)
    before = {name: weight.clone() for name, weight in loaded.model.named_parameters()}
    asked = [weight.requires_grad for weight in loaded.model.parameters()]
    seen = []
    vectors = refined_vectors(loaded, start, _BLOCKS, examples, epochs=6, progress=seen.append)
    assert sum(seen) == 6 * len(examples)
    assert (vectors.norm(dim=-1) <= start.norm(dim=-1) * (1 + 1e-4)).all()
    untouched = [row for row in range(31) if row not in {one.value for one in examples}]
    assert vectors[untouched].numpy() == pytest.approx(start[untouched].numpy(), abs=1e-5)
    assert all(torch.equal(weight, before[name]) for name, weight in loaded.model.named_parameters())
    assert asked == [weight.requires_grad for weight in loaded.model.parameters()]
    assert all(weight.grad is None for weight in loaded.model.parameters())
    losses = [_loss(loaded, own, examples) for own in (start, vectors)]
    assert losses[1] < 0.8 * losses[0]


def _loss(loaded, vectors, examples):
    """Slow reference: each comment alone, vectors added by hand."""
    total, count = 0.0, 0
    for one in examples:
        handles = []
        for block in _BLOCKS:

            def add(_module, _inputs, output, shift=vectors[one.value, block]):
                return (output[0] + shift, *output[1:]) if isinstance(output, tuple) else output + shift

            handles.append(loaded.blocks[block].register_forward_hook(add))
        (found,) = perplexities(loaded, [one.prompt], [continuation(one.prompt.text, one.text)])
        for handle in handles:
            handle.remove()
        total, count = total + float(torch.tensor(found).log()), count + 1
    return total / count


def test_the_same_seed_gives_the_same_vectors(loaded, bank, weak, examples):
    start = fixed_vectors(bank, weak)
    first, second = (refined_vectors(loaded, start, _BLOCKS, examples, epochs=2, seed=3) for _ in range(2))
    assert torch.equal(first, second)


@pytest.mark.parametrize(("deadline", "begun"), [(-1.0, 0), (1.0, 1), (5.0, 1), (6.0, 2), (8.9, 2), (100.0, 4)])
def test_no_epoch_begins_that_would_end_after_the_deadline(monkeypatch, loaded, bank, weak, examples, deadline, begun):
    """An epoch takes three seconds."""
    start, seen = fixed_vectors(bank, weak), []
    monkeypatch.setattr(refining, "time", SimpleNamespace(monotonic=lambda: 3.0 * sum(seen) / len(examples)))
    vectors = refined_vectors(loaded, start, _BLOCKS, examples, epochs=4, deadline=deadline, progress=seen.append)
    assert sum(seen) == begun * len(examples)
    assert (vectors.numpy() == pytest.approx(start.numpy(), abs=1e-6)) is (begun == 0)


def test_a_bank_keeps_refined_directions(tmp_path, bank, weak):
    from vispa.steering.bank import VectorBank

    refined, recipe = _fixed(bank, fixed_vectors(bank, weak), weak)
    path = tmp_path / "bank.safetensors"
    refined.with_tuned(recipe, {"reasons": ["by hand"]}).save(path)
    again = VectorBank.load(path)
    assert again.recipe == recipe and again.entry("refined").imported and again.tuning == {"reasons": ["by hand"]}
    assert replace(again, tuning=None).steers("karma")
