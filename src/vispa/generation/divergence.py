"""How far steering moves the next token's distribution, along what the plain model says by itself."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from vispa.generation.cache import new_cache
from vispa.generation.prefill import check_logits, prefill
from vispa.generation.rows import Row, Sampling
from vispa.generation.transformers import TransformersEngine
from vispa.models.batching import DECODING, pad_right, token_batches
from vispa.models.encoding import Prompt
from vispa.models.loading import LoadedModel
from vispa.steering.intervention import ActiveSteering
from vispa.steering.recipe import Steer

# So many vocabulary entries weigh as much in a batch as one token: logits are what fills memory.
_LOGITS_PER_TOKEN = 4096


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
    ids = [one.ids for one in engine.generate(rows, Sampling(tokens))]
    found = dict(_log_probabilities(engine, rows, ids))
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
    steered = [Row(texts[place].prompt, (steer,)) for place, steer in rows]
    ids = [texts[place].ids for place, _ in rows]
    found: dict[int, npt.NDArray[np.float64]] = {}
    for row, own in _log_probabilities(engine, steered, ids):
        plain = texts[rows[row][0]].log_probabilities
        # What the steered model rules out adds nothing, whatever the plain one says.
        terms = torch.where(own == -torch.inf, 0.0, own.exp() * (own - plain))
        found[row] = terms.double().sum(-1).cpu().numpy()
    return [found[row] for row in range(len(rows))]


def _log_probabilities(
    engine: TransformersEngine, rows: Sequence[Row], ids: Sequence[tuple[int, ...]]
) -> Iterator[tuple[int, torch.Tensor]]:
    """Place of each row with its log probabilities [C, vocabulary], float32; in batches, of which none is kept."""
    plan, entries = engine.plan(rows), len(engine.loaded.tokenizer) // _LOGITS_PER_TOKEN
    costs = [len(row.prompt.ids) + len(own) * (1 + entries) for row, own in zip(rows, ids, strict=True)]
    # In their order, whatever their lengths: rows that are steered alike share what their prompts begin with.
    for batch in token_batches([max(costs, default=0)] * len(costs), DECODING):
        own = [rows[i] for i in batch]
        with engine.steered(own, plan) as active:
            first, rest = _logits(engine.loaded, own, [ids[i] for i in batch], active)
        for place, row in enumerate(batch):
            logits = torch.cat([first[place, None], rest[place, : len(ids[row]) - 1]])
            check_logits(logits)
            yield row, logits.float().log_softmax(-1)


def _logits(
    loaded: LoadedModel, rows: Sequence[Row], texts: Sequence[tuple[int, ...]], active: ActiveSteering
) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits after B prompts [B, vocabulary], and after each token of their texts but the last [B, T, vocabulary].

    The text is a pass of its own, as in decoding: what a shift adds to a prompt may differ from what it adds to what
    is said.
    """
    cache = new_cache(loaded.model.config)
    said = [text[:-1] for text in texts]
    first, mask, last = prefill(loaded, rows, active, cache, max(map(len, said)))
    if not any(said):
        return first, first[:, None][:, :0]
    after = pad_right(loaded, said)
    rest = loaded.model(
        input_ids=after.ids,
        attention_mask=torch.cat([mask, after.mask], dim=1),
        position_ids=last + 1 + after.positions,
        past_key_values=cache,
        use_cache=True,
    ).logits
    return first, rest
