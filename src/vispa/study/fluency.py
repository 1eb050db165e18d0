"""How fluent a text is: perplexity under the plain model, and repetition."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt
import torch

from vispa.errors import InputError
from vispa.generation.prefill import check_logits
from vispa.models.batching import DECODING, LOGITS_PER_TOKEN, pad_left, token_batches
from vispa.models.context import context_length
from vispa.models.encoding import Prompt, common, continued
from vispa.models.loading import LoadedModel


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
    the prompt alone does not have. Rows run in batches padded on the left.

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
    joined: list[tuple[int, ...]] = []
    counts: list[int] = []
    limit = context_length(loaded.model.config)
    for prompt, text in zip(prompts, texts, strict=True):
        ids = continued(loaded, prompt, text)
        joined.append(ids)
        # Nothing predicts the very first token of a prompt-less text.
        own = max(0, min(len(ids) - common(prompt.ids, ids), len(ids) - 1))
        counts.append(own if limit is None or len(ids) <= limit else 0)
    out = np.full(len(texts), np.nan)
    vocabulary = len(loaded.tokenizer)
    costs = [max(len(i), (c + 1) * vocabulary // LOGITS_PER_TOKEN) for i, c in zip(joined, counts, strict=True)]
    scored = [index for index, count in enumerate(counts) if count]
    for places in token_batches([costs[i] for i in scored], DECODING):
        batch = [scored[place] for place in places]
        out[batch] = _batch_perplexities(loaded, [joined[i] for i in batch], [counts[i] for i in batch])
        if progress is not None:
            progress(len(batch))
    if progress is not None and len(scored) < len(texts):
        progress(len(texts) - len(scored))
    return out


def continuation(prompt: str, text: str) -> str:
    """The text with the white space that parts it from its prompt, which `Generated.text` comes without."""
    return text if not text or not prompt or prompt[-1].isspace() else f" {text}"


def repeated_shares(texts: Sequence[str], *, length: int = 3) -> npt.NDArray[np.float64]:
    """The share of each text's n-grams that occurred in it before.

    1 - distinct / all n-grams, as seq-rep-n in Welleck et al. 2020 (arXiv 1908.04319), here over
    words between white space, so that texts of different models compare.

    Args:
        texts: N.
        length: words in an n-gram.

    Returns:
        [N], each in [0, 1); 0 for a text shorter than one n-gram.

    Raises:
        InputError: an n-gram without words.
    """
    if length < 1:
        raise InputError("length", f"is {length}.", "Give a number of words from 1.")
    shares = []
    for text in texts:
        words = text.split()
        grams = [tuple(words[start : start + length]) for start in range(len(words) - length + 1)]
        shares.append(1 - len(set(grams)) / len(grams) if grams else 0.0)
    return np.array(shares)


def mean_perplexity(perplexity: npt.NDArray[np.float64], axis: tuple[int, ...]) -> npt.NDArray[np.float64]:
    """Geometric mean over axes, which is the exponential of the mean log likelihood.

    Texts without tokens (NaN) are left out; NaN where no text has any.
    """
    known = ~np.isnan(perplexity)
    total = np.where(known, np.log(np.where(known, perplexity, 1.0)), 0.0).sum(axis)
    with np.errstate(invalid="ignore"):
        return np.asarray(np.exp(total / known.sum(axis)))


def _batch_perplexities(
    loaded: LoadedModel, rows: Sequence[Sequence[int]], counts: Sequence[int]
) -> npt.NDArray[np.float64]:
    """Perplexity [B] of the last `counts[i]` tokens of row i."""
    ids, mask, positions = pad_left(loaded, rows)
    most = max(counts)
    with loaded.passes():
        logits = loaded.model(
            input_ids=ids, attention_mask=mask, position_ids=positions, use_cache=False, logits_to_keep=most + 1
        ).logits
    # A row at a time: in float32 the batch's logits would take twice their memory again.
    found = [
        _perplexity(own[-count - 1 : -1], targets[-count:])
        for own, targets, count in zip(logits, ids, counts, strict=True)
    ]
    return np.array(found)


def _perplexity(logits: torch.Tensor, targets: torch.Tensor) -> float:
    """Of tokens [C] by the logits [C, vocabulary] of the places before them."""
    check_logits(logits)
    loss = torch.nn.functional.cross_entropy(logits.float(), targets.to(logits.device), reduction="none")
    return float(loss.double().mean().exp())
