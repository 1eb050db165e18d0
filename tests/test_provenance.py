"""What a record says about how its answer came about: all that had an effect, and nothing that had none."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from vispa.evaluation.methods.base import Bench
from vispa.evaluation.methods.vispa_method import VispaMethod
from vispa.evaluation.methods.voice import Voice
from vispa.evaluation.methods.voices import with_voices
from vispa.evaluation.runner import _bench_settings
from vispa.evaluation.runs.folder import ItemRecord, MethodAnswer
from vispa.models.encoding import chat_prompt, recorded_prompt
from vispa.models.loading import LoadedModel
from vispa.modes.mixture import Mixture
from vispa.pipeline import Vispa
from vispa.records import Provenance
from vispa.steering.fitting import fit_bank
from vispa.steering.recipe import Recipe
from vispa.taxonomy import Taxonomy

RECIPE = Recipe("one_versus_others", (1, 2), magnitude="coefficient", amount=3.0, minimal_quality=0.0)
TEXT = "Keeping the change that a shop gave by mistake"


class LengthSelector:
    name = "length"

    def __init__(self, taxonomy: Taxonomy) -> None:
        self.taxonomy = taxonomy

    def scores(self, texts: Sequence[str], progress: object = None) -> np.ndarray:
        return np.array([[(len(text) * (n + 3)) % 11 / 11 for n in range(3)] for text in texts], dtype=np.float32)


@pytest.fixture(scope="module")
def vispa(llama: LoadedModel, small_taxonomy: Taxonomy) -> Vispa:
    bank = fit_bank(llama, small_taxonomy, recipe=RECIPE)
    return Vispa(llama, bank, LengthSelector(small_taxonomy), taxonomy=small_taxonomy)


def how(vispa: Vispa, **options: object) -> Provenance:
    return vispa.respond(TEXT, max_new_tokens=5, **options).provenance  # type: ignore[arg-type]


def test_model_bank_and_taxonomy_are_told_apart(vispa: Vispa, llama: LoadedModel, small_taxonomy: Taxonomy) -> None:
    found = how(vispa)
    assert (found.model, found.model_fingerprint) == (llama.name, llama.fingerprint)
    assert (found.bank, found.taxonomy) == (vispa.bank.fingerprint, small_taxonomy.fingerprint)
    assert len({found.model_fingerprint, found.bank, found.taxonomy}) == 3
    assert (found.dtype, found.device) == ("float32", "cpu")
    entry = vispa.bank.entries["one_versus_others"]
    moved = replace(entry, directions=replace(entry.directions, vectors=entry.directions.vectors + 1e-3))
    other = Vispa(
        llama,
        replace(vispa.bank, entries={**vispa.bank.entries, "one_versus_others": moved}),
        vispa.selector,
        taxonomy=small_taxonomy,
    )
    assert how(other).bank != found.bank and how(other).taxonomy == found.taxonomy


def test_a_seed_is_recorded_where_it_has_an_effect(vispa: Vispa) -> None:
    greedy = how(vispa, seed=5)
    assert greedy.sampling is not None and greedy.sampling.model_dump(exclude_none=True) == {"max_new_tokens": 5}
    assert greedy.model_dump(exclude={"timings"}) == how(vispa, seed=6).model_dump(exclude={"timings"})
    sampled = how(vispa, seed=5, temperature=0.7, top_p=0.9).sampling
    assert sampled is not None
    assert sampled.model_dump() == {"max_new_tokens": 5, "temperature": 0.7, "top_p": 0.9, "seed": 5}


def test_comments_that_were_not_made_have_no_length(vispa: Vispa) -> None:
    found = how(vispa, mode="distributional", passages=False, k=2)
    assert found.sampling is None and found.reader is None and found.mixture is not None


def test_choosing_says_what_counted(vispa: Vispa) -> None:
    given = {"k": 2, "threshold": 0.1}
    assert how(vispa, **given).choosing.model_dump(exclude_none=True) == {**given, "diversity": 0.0}
    assert how(vispa).choosing.k == 3
    assert how(vispa, k="auto").choosing.k == "auto"
    diverse = how(vispa, k=2, diversity=0.4).choosing
    assert (diverse.diversity, diverse.encoder) == (0.4, vispa.chooser.encoder.name)
    assert how(vispa, values=("Candor",)).choosing.model_dump(exclude_none=True) == {"named": ("candor",)}
    target = how(vispa, mode="steerable", toward="thrift").choosing
    assert target.named == ("thrift",) and target.k is None


@pytest.mark.parametrize(
    ("options", "present"),
    [
        ({}, {"aggregator": "extractive"}),
        ({"mode": "steerable", "toward": "a good name", "k": 2}, {"reader": "random-llama", "picker": "random-llama"}),
        ({"mode": "steerable", "toward": "calm"}, {"reader": "random-llama"}),
        ({"mode": "distributional", "k": 2}, {"reader": "random-llama", "mixture": "mean"}),
        ({"mode": "distributional", "k": 2, "passages": False}, {"mixture": "mean"}),
    ],
)
def test_only_the_modes_own_parts_are_recorded(vispa: Vispa, options: dict, present: dict[str, str]) -> None:
    found = how(vispa, **options).model_dump(exclude_none=True)
    parts = {name: found[name] for name in ("aggregator", "picker", "reader", "mixture") if name in found}
    assert parts.keys() == present.keys()
    assert all(value in str(parts[name]) for name, value in present.items())


def test_a_mixture_is_recorded_with_the_shares_that_counted(vispa: Vispa) -> None:
    mixture = Mixture("fitted", {"calm": 1.0}, {"Peru": {"calm": 0.25, "candor": 0.75}}, 1.5)
    mixed = Vispa(vispa.model, vispa.bank, vispa.selector, taxonomy=vispa.taxonomy, mixture=mixture)
    here = how(mixed, mode="distributional", country="Peru", options=("Yes", "No")).mixture
    elsewhere = how(mixed, mode="distributional", country="Chile", options=("Yes", "No")).mixture
    assert here is not None and elsewhere is not None
    assert (here.kind, here.shares, here.temperature) == ("fitted", {"calm": 0.25, "candor": 0.75}, 1.5)
    assert elsewhere.shares == {"calm": 1.0}


def test_other_prompts_have_another_digest(vispa: Vispa) -> None:
    worded = Vispa(
        vispa.model,
        vispa.bank,
        vispa.selector,
        taxonomy=vispa.taxonomy,
        prompts=replace(vispa.prompts, comment="Say a word on {text}."),
    )
    assert how(worded).prompts != how(vispa).prompts == how(vispa, k=1).prompts


@pytest.mark.parametrize("mode", ["overton", "steerable", "distributional"])
def test_evaluation_keeps_what_became_of_each_comment(vispa: Vispa, mode: str) -> None:
    from vispa.items.item import Item

    options = () if mode == "overton" else ("Yes", "No")
    item = Item(id=1, mode=mode, text=TEXT, prompt=TEXT, options=options, attribute="POLPARTY_Green")  # type: ignore[arg-type]
    (answer,) = VispaMethod(Bench(vispa, {"k": 2}, max_new_tokens=5)).answer([item])
    assert answer.error is None
    kept = ItemRecord.model_validate_json(ItemRecord(id=1, text=TEXT, **answer.model_dump()).model_dump_json())
    assert len(kept.comments) == len(kept.scores) == 2
    for comment in kept.comments:
        assert TEXT in (comment.prompt or "") and set(comment.shift) == {1, 2}
        assert sum(comment.stance.values()) == pytest.approx(1, abs=1e-3) and comment.tokens > 0
    assert (kept.chosen is None) == (mode != "steerable") and bool(kept.weights) == (mode == "distributional")


def test_a_run_keeps_once_what_holds_for_all_items(vispa: Vispa) -> None:
    kept = _bench_settings(Bench(vispa, max_new_tokens=5, seed=8))
    assert kept["bank"] == vispa.bank.fingerprint and kept["taxonomy"] == vispa.taxonomy.fingerprint
    assert kept["max_new_tokens"] == 5 and "seed" not in kept
    assert _bench_settings(Bench(vispa, temperature=0.5, seed=8)).items() >= {"seed": 8, "temperature": 0.5}.items()


def test_voices_keep_their_prompt(llama: LoadedModel) -> None:
    voices = [Voice("one", "Yes.", "a baker", 3, "Bread?"), Voice("two", "No.", "some file")]
    kept = with_voices(MethodAnswer(response="Yes."), voices).comments
    assert [one.prompt for one in kept] == ["Bread?", None] and [one.tokens for one in kept] == [3, 0]
    prompt = chat_prompt(llama, "Bread?")
    assert recorded_prompt(llama, prompt.text) == prompt
