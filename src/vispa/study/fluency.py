"""How fluent a text is: perplexity under the plain model, and repetition."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

import numpy as np
import numpy.typing as npt
import torch

from vispa.errors import InputError
from vispa.generation.continuations import log_probabilities
from vispa.generation.rows import Row
from vispa.generation.transformers import TransformersEngine
from vispa.models.context import context_length
from vispa.models.encoding import Prompt, common, continued
from vispa.models.loading import LoadedModel
from vispa.modes.repeats import repeated_share
from vispa.steering.plan import SteeringPlan


def perplexities(
    loaded: LoadedModel,
    prompts: Sequence[Prompt],
    texts: Sequence[str],
    progress: Callable[[int], None] | None = None,
) -> npt.NDArray[np.float64]:
    """Perplexity of each text as the unsteered model's continuation of its prompt.

    The exponential of the mean negative log likelihood over the text's tokens; the prompt's do
    not count, nor does an end token. Prompt and text are joined as they stand (see
    `continuation`) and tokenised together; the text's tokens are those from the first one that
    the prompt alone does not have. A prompt is read once for all of its texts.

    Args:
        loaded: the model.
        prompts: N, as the model continues them.
        texts: N continuations.
        progress: called with the number of texts just scored.

    Returns:
        [N] float64; NaN for a text without tokens, and for one that with its prompt is longer than
        the model's context.

    Raises:
        InputError: not as many prompts as texts.
        NumericalError: a logit is not finite.
    """
    if len(prompts) != len(texts):
        raise InputError("texts", f"are {len(texts)} to {len(prompts)} prompts.", "Give one text a prompt.")
    rows: list[Row] = []
    own: list[tuple[int, ...]] = []
    limit = context_length(loaded.model.config)
    for prompt, text in zip(prompts, texts, strict=True):
        ids = continued(loaded, prompt, text)
        # Nothing predicts the very first token of a prompt-less text.
        first = max(1, common(prompt.ids, ids))
        rows.append(Row(replace(prompt, ids=ids[:first])))
        own.append(ids[first:] if limit is None or len(ids) <= limit else ())
    out = np.full(len(texts), np.nan)
    # Texts with one prompt stand together: it is read once for them.
    scored = sorted((place for place, ids in enumerate(own) if ids), key=lambda place: rows[place].prompt.ids)
    plain = partial(TransformersEngine(loaded).steered, plan=SteeringPlan.empty())
    found = log_probabilities(loaded, [rows[i] for i in scored], [own[i] for i in scored], plain)
    for place, table in found:
        targets = torch.tensor(own[scored[place]], device=table.device)
        out[scored[place]] = float((-table.gather(-1, targets[:, None])).double().mean().exp())
        if progress is not None:
            progress(1)
    if progress is not None and len(scored) < len(texts):
        progress(len(texts) - len(scored))
    return out


def continuation(prompt: str, text: str) -> str:
    """The text with the white space that parts it from its prompt, which `Generated.text` comes without."""
    is_parted = not text or not prompt or prompt[-1].isspace() or text[0].isspace()
    return text if is_parted else f" {text}"


def repeated_shares(texts: Sequence[str], *, length: int = 3) -> npt.NDArray[np.float64]:
    """What `vispa.modes.repeats.repeated_share` says of each text.

    Args:
        texts: N.
        length: words in an n-gram.

    Returns:
        [N], each in [0, 1).

    Raises:
        InputError: an n-gram without words.
    """
    if length < 1:
        raise InputError("length", f"is {length}.", "Give a number of words from 1.")
    return np.array([repeated_share(text, length=length) for text in texts])


def mean_perplexity(perplexity: npt.NDArray[np.float64], axis: tuple[int, ...]) -> npt.NDArray[np.float64]:
    """Geometric mean over axes, which is the exponential of the mean log likelihood.

    Texts without tokens (NaN) are left out; NaN where no text has any.
    """
    known = ~np.isnan(perplexity)
    total = np.where(known, np.log(np.where(known, perplexity, 1.0)), 0.0).sum(axis)
    with np.errstate(invalid="ignore"):
        return np.asarray(np.exp(total / known.sum(axis)))
