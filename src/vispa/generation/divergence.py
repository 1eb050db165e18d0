"""How far steering moves the next token's distribution, along what the plain model says by itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import numpy.typing as npt
import torch

from vispa.generation.continuations import log_probabilities
from vispa.generation.rows import Row, Sampling
from vispa.generation.transformers import TransformersEngine
from vispa.models.encoding import Prompt
from vispa.steering.recipe import Steer


@dataclass(frozen=True)
class PlainText:
    """What the plain model says to a prompt.

    Attributes:
        prompt: that it continued.
        ids: its C tokens; at least one.
        log_probabilities: [C, vocabulary] float32 of the next token, before each of the C tokens.
    """

    prompt: Prompt
    ids: tuple[int, ...]
    log_probabilities: torch.Tensor


def plain_texts(engine: TransformersEngine, prompts: Sequence[Prompt], tokens: int) -> list[PlainText]:
    """The likeliest first tokens that the plain model says to each prompt, and how sure it is of them.

    Args:
        engine: the model.
        prompts: P, as the model continues them.
        tokens: most of a text.

    Returns:
        P texts, in the order of the prompts.

    Raises:
        NumericalError: a logit is not finite.
        ContextError: a prompt and its text are longer than the model's context.
    """
    rows = [Row(prompt) for prompt in prompts]
    steered = partial(engine.steered, plan=engine.plan(rows))
    ids = [one.ids for one in engine.generate(rows, Sampling(tokens))]
    found = dict(log_probabilities(engine.loaded, rows, ids, steered))
    return [PlainText(prompt, own, found[place]) for place, (prompt, own) in enumerate(zip(prompts, ids, strict=True))]


def divergences(
    engine: TransformersEngine, texts: Sequence[PlainText], rows: Sequence[tuple[int, Steer]]
) -> list[npt.NDArray[np.float64]]:
    """KL(steered ‖ plain) of the next token before each token of the plain model's texts.

    The texts are given, nothing is decoded: the steered model reads the prompt, where shifts are measured, and then
    the text, as if it had said it.

    Args:
        engine: the model with its bank.
        texts: of the plain model.
        rows: N places in `texts`, each with what it is steered toward.

    Returns:
        N arrays [C] in nats, C being the text's tokens.

    Raises:
        InputError: a steer whose value, estimator or block the bank does not have.
        NumericalError: a logit, activation or shift is not finite.
    """
    own_rows = [Row(texts[place].prompt, (steer,)) for place, steer in rows]
    steered = partial(engine.steered, plan=engine.plan(own_rows))
    ids = [texts[place].ids for place, _ in rows]
    found: dict[int, npt.NDArray[np.float64]] = {}
    for row, own in log_probabilities(engine.loaded, own_rows, ids, steered):
        plain = texts[rows[row][0]].log_probabilities
        # What the steered model rules out adds nothing, whatever the plain one says.
        terms = torch.where(own == -torch.inf, 0.0, own.exp() * (own - plain))
        found[row] = terms.double().sum(-1).cpu().numpy()
    return [found[row] for row in range(len(rows))]
