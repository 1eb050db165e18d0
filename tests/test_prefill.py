"""What is the same in several rows of a batch is read once, and no text changes by it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest
import torch
from engines import generate
from random_banks import CALIBRATED, COEFFICIENT, random_bank

from vispa.errors import NumericalError
from vispa.generation.rows import Row, Sampling
from vispa.models.encoding import raw_prompt
from vispa.models.loading import LoadedModel
from vispa.steering.activations import block_output
from vispa.steering.recipe import Recipe, Steer

BEGINNING = "Please comment on the following situation: "
ENDS = ["I lied.", "She sold the old family house to a stranger", "A walk in the rain", "No"]
SCOPES = ("all", "prompt", "generated", "last")
KINDS: dict[str, dict[str, object]] = {
    "llama": {},
    "gemma3_text": {"head_dim": 8, "sliding_window": 512},
    "qwen2_moe": {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 16},
    "gpt_neox": {},
}
#: Models of which padding between tokens would change the texts.
WHOLE: dict[str, dict[str, object]] = {
    "gpt2": {},
    "mistral": {"sliding_window": 64},
    "falcon": {"alibi": True},
    "olmo_hybrid": {},
}


def rows_of(loaded: LoadedModel, recipes: Sequence[Recipe]) -> list[Row]:
    steers = [(), *((Steer(value, 1.0, recipe),) for value in ("calm", "candor") for recipe in recipes)]
    return [Row(raw_prompt(loaded, BEGINNING + end), steer) for end in ENDS for steer in steers]


def tokens_read(loaded: LoadedModel, rows: Sequence[Row], block: int = -1) -> tuple[list[int], list[str]]:
    """Tokens that a block reads in each pass over prompts, and the texts."""
    read: list[tuple[int, int]] = []
    handle = loaded.blocks[block].register_forward_hook(
        lambda _module, _inputs, output: read.append(block_output(output).shape[:2])
    )
    try:
        texts = generate(loaded, rows, Sampling(6), random_bank())
    finally:
        handle.remove()
    return [count * width for count, width in read if width > 1], [text.text for text in texts]


@pytest.mark.parametrize("kind", KINDS)
def test_a_common_beginning_is_read_once_for_rows_steered_alike(
    kind: str, make_model: Callable[..., LoadedModel]
) -> None:
    loaded = make_model(kind, **KINDS[kind])
    recipes = [replace(COEFFICIENT, scope=scope) for scope in SCOPES]
    rows = rows_of(loaded, recipes)
    read, together = tokens_read(loaded, rows)
    assert read[0] == 9 * len(raw_prompt(loaded, BEGINNING).ids)
    assert len(read) == 2
    for row, text in zip(rows, together, strict=True):
        assert tokens_read(loaded, [row])[1] == [text]


@pytest.mark.parametrize("kind", WHOLE)
def test_models_that_count_places_read_every_prompt_whole(kind: str, make_model: Callable[..., LoadedModel]) -> None:
    loaded = make_model(kind, **WHOLE[kind])
    rows = rows_of(loaded, [COEFFICIENT])
    read, _ = tokens_read(loaded, rows)
    assert read == [len(rows) * max(len(row.prompt.ids) for row in rows)]


@pytest.mark.parametrize("fields", [{"estimator": "probe", "amount": 0.9}, {"gate": 0.9}])
def test_shifts_that_depend_on_the_prompt_read_it_whole(fields: dict[str, object], llama: LoadedModel) -> None:
    recipe = Recipe(
        **{
            "estimator": "mean",
            "magnitude": "calibrated" if "amount" in fields else "coefficient",
            "blocks": (1, 2),
            "amount": 1.0,
            "minimal_quality": 0.0,
            **fields,
        }
    )
    rows = rows_of(llama, [recipe])
    assert len(tokens_read(llama, rows)[0]) == 1


def test_rows_that_all_differ_in_steering_and_one_row_alone_are_read_in_one_pass(llama: LoadedModel) -> None:
    rows = rows_of(llama, [COEFFICIENT])
    for few in (rows[:3], rows[:1]):
        assert len(tokens_read(llama, few)[0]) == 1


def test_the_same_prompt_in_all_rows_keeps_its_last_token(llama: LoadedModel) -> None:
    row = rows_of(llama, [COEFFICIENT])[1]
    read, texts = tokens_read(llama, [row] * 3)
    assert read == [len(row.prompt.ids) - 1]
    assert texts == tokens_read(llama, [row])[1] * 3


def test_positions_are_those_of_whole_prompts(llama: LoadedModel) -> None:
    seen: list[torch.Tensor] = []
    handle = llama.model.register_forward_pre_hook(
        lambda _module, _inputs, options: seen.append(options["position_ids"]), with_kwargs=True
    )
    rows = [Row(raw_prompt(llama, BEGINNING + end)) for end in ENDS]
    try:
        generate(llama, rows, Sampling(2))
    finally:
        handle.remove()
    lengths = sorted(len(row.prompt.ids) for row in rows)
    assert [int(last) for last in seen[1][:, -1]] == [length - 1 for length in lengths]
    assert [int(last) for last in seen[2][:, -1]] == lengths


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("calibrated", [True, False])
def test_one_prompt_goes_to_the_first_steered_block_once(
    calibrated: bool, kind: str, make_model: Callable[..., LoadedModel]
) -> None:
    loaded = make_model(kind, **KINDS[kind])
    rows = rows_of(loaded, [replace(CALIBRATED if calibrated else COEFFICIENT, blocks=(2, 3))])
    for block, count in ((1, len(ENDS)), (2, len(rows)), (3, len(rows))):
        read, together = tokens_read(loaded, rows, block)
        width = max(len(row.prompt.ids) for row in rows) - (0 if calibrated else len(raw_prompt(loaded, BEGINNING).ids))
        assert read[-1] == count * width
        assert len(read) == 2 - calibrated
    for row, text in zip(rows, together, strict=True):
        assert tokens_read(loaded, [row])[1] == [text]


def test_hooks_come_off_when_a_shared_pass_fails(make_model: Callable[..., LoadedModel]) -> None:
    broken = make_model("llama")
    broken.blocks[3].mlp.down_proj.weight.data.fill_(float("nan"))
    with pytest.raises(NumericalError):
        generate(broken, rows_of(broken, [COEFFICIENT]), Sampling(2), random_bank())
    assert not any(block._forward_hooks or block._forward_pre_hooks for block in broken.blocks)
