"""Numbers that are no numbers never become an answer; the output head gets its input in one piece."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from engines import generate, option_masses
from random_banks import COEFFICIENT, random_bank
from torch import nn

from vispa.errors import NumericalError
from vispa.generation.prefill import check_logits
from vispa.generation.rows import Row, Sampling
from vispa.models.encoding import raw_prompt
from vispa.models.loading import LoadedModel
from vispa.steering.recipe import Steer
from vispa.study.fluency import perplexities

ARCHITECTURES = ["llama", "gemma2", "cohere", "granite", "gpt2", "phi"]


@pytest.fixture
def overflowing(make_model: Callable[..., LoadedModel]) -> LoadedModel:
    """In float16 the residual stream of its last block is beyond the largest number."""
    loaded = make_model("llama")
    loaded.model.half()
    last = loaded.blocks[-1]
    assert isinstance(last.mlp, nn.Module)
    with torch.no_grad():
        last.mlp.down_proj.weight.mul_(3e4)
    return loaded


def test_an_overflow_without_steering_is_an_error(overflowing: LoadedModel) -> None:
    prompt = raw_prompt(overflowing, "Wind rises.")
    for go in (
        lambda: generate(overflowing, [Row(prompt)], Sampling(3)),
        lambda: generate(overflowing, [Row(prompt)], Sampling(3, temperature=1.0)),
        lambda: option_masses(overflowing, ["Answer:"], [3]),
        lambda: perplexities(overflowing, [prompt], [" And falls."]),
    ):
        with pytest.raises(NumericalError, match="not finite; load the model in float32 or bfloat16"):
            go()
    assert not overflowing.turns.is_mine


@pytest.mark.parametrize(
    "bad",
    [
        [0.0, float("nan"), 1.0],
        [float("inf"), 0.0, 0.0],
        [float("-inf")] * 3,
        [float("nan")] * 3,
    ],
)
def test_logits_that_are_no_distribution_name_their_row(bad: list[float]) -> None:
    with pytest.raises(NumericalError, match="logits of row 1"):
        check_logits(torch.tensor([[1.0, 2.0, 3.0], bad]))


def test_a_token_that_is_ruled_out_is_no_error() -> None:
    check_logits(torch.tensor([[float("-inf"), 2.0, 3.0]]))


@pytest.mark.parametrize("kind", ARCHITECTURES)
def test_the_head_gets_its_input_in_one_piece(make_model: Callable[..., LoadedModel], kind: str) -> None:
    loaded = make_model(kind)
    head = loaded.model.get_output_embeddings()
    seen: list[torch.Tensor] = []
    forward = head.forward

    def watching(hidden: torch.Tensor) -> torch.Tensor:
        seen.append(hidden)
        return forward(hidden)

    head.forward = watching
    prompts = [raw_prompt(loaded, text) for text in ("Rain on the roof of a", "Snow on the hill of b")]
    generate(loaded, [Row(prompt) for prompt in prompts], Sampling(2))
    option_masses(loaded, [prompt.text for prompt in prompts], [2, 2])
    widths = [hidden.shape[1] for hidden in seen]
    perplexities(loaded, prompts, [" well.", " moor."])
    assert widths == [1, 1, 1]
    assert seen[3].shape[1] < len(prompts[0].ids)
    assert all(hidden.is_contiguous() for hidden in seen)
    assert not head._forward_pre_hooks


@pytest.mark.parametrize("kind", ARCHITECTURES)
def test_perplexity_is_that_of_whole_logits(make_model: Callable[..., LoadedModel], kind: str) -> None:
    """Soft caps and scales of the head are the architecture's own."""
    loaded = make_model(kind)
    prompts = [raw_prompt(loaded, text) for text in ("One", "Two birds and")]
    texts = [" or more of them.", " a stone"]
    found = perplexities(loaded, prompts, texts)
    for prompt, text, perplexity in zip(prompts, texts, found, strict=True):
        ids = torch.tensor([raw_prompt(loaded, prompt.text + text).ids])
        with torch.inference_mode():
            logits = loaded.model(input_ids=ids).logits[0].double()
        count = len(text)
        losses = nn.functional.cross_entropy(logits[-count - 1 : -1], ids[0, -count:])
        assert perplexity == pytest.approx(float(losses.exp()), rel=1e-4)


def test_a_copy_with_other_options_shares_its_turns(llama: LoadedModel) -> None:
    assert replace(llama, least_option_mass=0.5).turns is llama.turns
    assert np.isfinite(option_masses(llama, ["Answer:"], [2])[0]).all()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
@pytest.mark.parametrize("orthogonal", [False, True])
def test_shifts_that_are_finite_alone_and_not_together_are_an_error(
    make_model: Callable[..., LoadedModel], dtype: torch.dtype, orthogonal: bool
) -> None:
    loaded, bank = make_model("llama"), random_bank()
    loaded.model.to(dtype)
    greatest = float(bank.entries["mean"].directions.vectors.abs().max()) * COEFFICIENT.amount
    weight = 0.8 * torch.finfo(dtype).max / greatest
    prompt, steer = raw_prompt(loaded, "Wind rises."), Steer("calm", weight)
    row = Row(prompt, (steer, steer), orthogonal=orthogonal)
    if orthogonal:
        # Here it is the squares that are too large.
        row = Row(prompt, (steer, Steer("candor", weight)), orthogonal=True)
    # In half precision the squares, which are computed in single precision, are not.
    what = "activation" if orthogonal and dtype == torch.float16 else "shift"
    with pytest.raises(NumericalError, match=f"The {what} of row 0"):
        generate(loaded, [row], Sampling(3), bank)
