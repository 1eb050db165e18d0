"""How far each token of a text points toward a value."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from random_banks import random_bank_of

from vispa.errors import InputError
from vispa.models.encoding import raw_prompt
from vispa.models.loading import LoadedModel
from vispa.steering.pointing import MAX_TOKENS, TokenReader
from vispa.steering.readings import content_tokens
from vispa.steering.recipe import Recipe
from vispa.taxonomy import Taxonomy

RECIPE = Recipe("mean", (1, 3), magnitude="residual", amount=0.1)


def states(loaded: LoadedModel, text: str) -> torch.Tensor:
    """[blocks + 1, T, H], by transformers itself; the last one is behind the final norm and not used."""
    ids = torch.tensor([raw_prompt(loaded, text).ids])
    with torch.inference_mode():
        return torch.stack(loaded.model(input_ids=ids, output_hidden_states=True).hidden_states)[:, 0]


def slow(loaded: LoadedModel, taxonomy: Taxonomy, value: str, text: str, block: int) -> list[float | None]:
    """One block, one text, one token at a time."""
    bank = random_bank_of(loaded, taxonomy)
    vector = bank.entry("mean").directions.vectors[bank.row(value), block]
    means = []
    for slug in taxonomy:
        pair = taxonomy.pairs(slug)[0]
        for sentence in (pair.positive, pair.negative):
            hidden = states(loaded, sentence)[block + 1]
            kept = content_tokens(hidden.norm(dim=-1)[None], torch.ones(1, len(hidden), dtype=torch.bool))[0]
            means.append(hidden[kept].mean(0))
    typical = torch.stack(means).mean(0)
    hidden = states(loaded, text)[block + 1]
    kept = content_tokens(hidden.norm(dim=-1)[None], torch.ones(1, len(hidden), dtype=torch.bool))[0]
    unit = vector / vector.norm()
    return [
        float((row - typical) @ unit / bank.residual_norm[block]) if keep else None
        for row, keep in zip(hidden, kept, strict=True)
    ]


def test_readings_are_projections_from_a_typical_token(llama: LoadedModel, small_taxonomy: Taxonomy) -> None:
    text = "I saved a coin."
    recipe = Recipe("mean", (1,), magnitude="residual", amount=0.1)
    reader = TokenReader(llama, random_bank_of(llama, small_taxonomy), recipe, small_taxonomy)
    others = ["Something much longer that stands in the same batch.", "é"]
    found, *_ = reader.read(["thrift", "calm", "calm"], [text, *others])
    assert [text[one.start : one.end] for one in found] == list(text)
    # The tokenizer's start token stands before the text.
    expected = slow(llama, small_taxonomy, "thrift", text, 1)[1:]
    for one, wanted in zip(found, expected, strict=True):
        assert one.reading == (None if wanted is None else pytest.approx(wanted, abs=2e-4))


def test_a_reading_is_the_mean_over_the_steered_blocks(llama: LoadedModel, small_taxonomy: Taxonomy) -> None:
    bank = random_bank_of(llama, small_taxonomy)
    low, high, both = (
        TokenReader(llama, bank, Recipe("mean", blocks, magnitude="residual", amount=0.1), small_taxonomy).read(
            ["calm"], ["They rested."]
        )[0]
        for blocks in ((1,), (2,), (1, 2))
    )
    for one, other, mean in zip(low, high, both, strict=True):
        if mean.reading is not None and one.reading is not None and other.reading is not None:
            assert mean.reading == pytest.approx((one.reading + other.reading) / 2, abs=2e-5)
    bank.entry("mean").directions.quality[bank.row("calm"), 2] = 0.1
    (without,) = TokenReader(
        llama, bank, Recipe("mean", (1, 2), magnitude="residual", amount=0.1), small_taxonomy
    ).read(["calm"], ["They rested."])
    assert [one.reading for one in without] == [one.reading for one in low]


def test_characters_of_several_tokens_are_one_and_control_tokens_have_none(
    llama: LoadedModel, small_taxonomy: Taxonomy
) -> None:
    reader = TokenReader(llama, random_bank_of(llama, small_taxonomy), RECIPE, small_taxonomy)
    text = "a😀é"
    found, spelled, long = reader.read(["calm"] * 3, [text, "He wrote </s> here.", "word " * 300])
    assert [(one.start, one.end) for one in found] == [(0, 1), (1, 2), (2, 3)]
    assert spelled == () and 0 < len(long) < MAX_TOKENS
    with pytest.raises(InputError, match="valor"):
        reader.read(["valor"], ["a"])


def test_a_value_without_a_direction_has_no_readings(
    make_model: Callable[..., LoadedModel], small_taxonomy: Taxonomy
) -> None:
    loaded = make_model("llama", seed=3)
    bank = random_bank_of(loaded, small_taxonomy)
    bank.entry("mean").directions.quality[bank.row("calm")] = 0.1
    reader = TokenReader(loaded, bank, RECIPE, small_taxonomy)
    calm, thrift = reader.read(["calm", "thrift"], ["I saved.", "I saved."])
    assert calm == () and len(thrift) == len("I saved.")
