"""Masses of answer options: what a model says next where a letter is due."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from vispa.errors import InputError
from vispa.generation.engine import next_logits
from vispa.generation.letters import Masses, letter_tokens
from vispa.models.batching import DECODING, pad_left, token_batches
from vispa.models.context import check_context
from vispa.models.encoding import raw_prompt
from vispa.models.loading import LoadedModel
from vispa.request import LETTERS
from vispa.steering.intervention import steering
from vispa.steering.plan import SteeringPlan
from vispa.steering.recipe import Steer


def option_masses(
    loaded: LoadedModel,
    prompts: Sequence[str],
    counts: Sequence[int],
    *,
    plan: SteeringPlan | None = None,
    steers: Sequence[Sequence[Steer]] | None = None,
) -> list[Masses]:
    """For each prompt the next-token probabilities of its first `counts[i]` letters.

    A letter's mass is summed over all tokens that write it (`vispa.generation.letters`). Masses are
    not normalised: together they say whether a letter follows at all; `vispa.readers.weighing`
    makes distributions of them. Prompts go in raw, without chat template (section 3.3 of the paper).

    Args:
        loaded: the model.
        prompts: N texts that end where a letter is due (`… Answer:`).
        counts: number of options of each prompt, 1 to 26.
        plan: shifts, if rows are steered.
        steers: each prompt's steers; none of them by default.

    Returns:
        N arrays of masses, the i-th of shape [counts[i]].

    Raises:
        InputError: an unusable number of options.
        NumericalError: a logit, activation or shift is not finite.
        ContextError: a prompt is longer than the model's context; nothing was computed.
    """
    for number, count in enumerate(counts):
        if not 1 <= count <= len(LETTERS):
            raise InputError("options", f"prompt {number} has {count}.", f"Give 1 to {len(LETTERS)} options.")
    steers = steers or [()] * len(prompts)
    plan = plan or SteeringPlan.empty()
    letters = letter_tokens(loaded.tokenizer.get_vocab())
    encoded = [raw_prompt(loaded, prompt).ids for prompt in prompts]
    for prompt_ids in encoded:
        check_context(loaded, len(prompt_ids))
    out: list[Masses] = [np.empty(0)] * len(prompts)
    for batch in token_batches([len(ids) for ids in encoded], DECODING):
        ids, mask, positions = pad_left(loaded, [encoded[i] for i in batch])
        with steering(loaded, plan, [steers[i] for i in batch]):
            logits = next_logits(loaded, ids, mask, positions, use_cache=False)
        probabilities = logits.double().softmax(-1).cpu().numpy()
        for row, index in enumerate(batch):
            out[index] = np.array([probabilities[row, tokens].sum() for tokens in letters[: counts[index]]])
    return out
