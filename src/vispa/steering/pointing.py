"""How far each token of a text points toward a value."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch

from vispa.models.batching import pad_right, reading_budget, token_batches
from vispa.models.context import context_length
from vispa.models.encoding import raw_prompt
from vispa.models.loading import LoadedModel
from vispa.models.tokenization import Span
from vispa.once import once_property
from vispa.steering.activations import ending_after, hooks_on, read_activations
from vispa.steering.bank import VectorBank
from vispa.steering.planning import steered_blocks
from vispa.steering.readings import content_tokens
from vispa.steering.recipe import Recipe
from vispa.taxonomy import Taxonomy

#: Longest text that is read, in tokens; what comes after has no readings.
MAX_TOKENS = 512
# Values whose first pair of sentences makes the zero of the readings.
_TYPICAL = 64


@dataclass(frozen=True)
class TokenReading:
    """One token of a text.

    Attributes:
        start: of the token in the text, in characters (Unicode code points) from 0.
        end: where it ends, exclusive.
        reading: how much further the residual stream reaches along the value's direction there than at a typical
            token, as a fraction of its typical length; below 0 where it points away. None at attention sinks.
    """

    start: int
    end: int
    reading: float | None


class TokenReader:
    """Reads the residual stream of a text, token by token, along a value's directions.

    The model that reads is not steered, and reads the text alone, as it read the sentences that the directions come
    from: so a reading says what is in the words, not what was added while they were written. A reading is the mean over
    the blocks at which the recipe steers toward the value; the typical token is the mean over one pair of sentences of
    each value.

    Args:
        loaded: the model.
        bank: of its directions.
        recipe: whose estimator and blocks are read.
        taxonomy: the values.
    """

    def __init__(self, loaded: LoadedModel, bank: VectorBank, recipe: Recipe, taxonomy: Taxonomy) -> None:
        self._loaded, self._bank, self._recipe, self._taxonomy = loaded, bank, recipe, taxonomy

    @once_property
    def blocks(self) -> tuple[int, ...]:
        """Numbers of the blocks that are read."""
        return self._recipe.chosen_blocks(len(self._bank.residual_norm))

    @once_property
    def _typical(self) -> torch.Tensor:
        """[L, H] activation of a typical token at the blocks."""
        step = -(-len(self._taxonomy) // _TYPICAL)
        pairs = [self._taxonomy.pairs(value)[0] for value in list(self._taxonomy)[::step]]
        sentences = [sentence for pair in pairs for sentence in (pair.positive, pair.negative)]
        states = read_activations(self._loaded, sentences, readings=("sink_free_mean",), blocks=self.blocks)
        return states["sink_free_mean"].mean(0)

    def read(
        self, values: Sequence[str], texts: Sequence[str], check: Callable[[], None] | None = None
    ) -> list[tuple[TokenReading, ...]]:
        """The tokens of N texts, each read along a value's directions.

        Args:
            values: slug of each text's value.
            texts: N non-empty texts.
            check: called before each forward pass; what it raises ends the reading.

        Returns:
            The tokens of each text in their order. None at all for a value toward which the recipe steers at no block,
            and for a text whose tokens cannot be told apart from the text (one that spells a control token).

        Raises:
            InputError: a value that the bank does not have.
        """
        directions = torch.stack([self._directions(value) for value in values])
        spans = [self._loaded.tokenization.spans(text) for text in texts]
        longest = min(MAX_TOKENS, context_length(self._loaded.model.config) or MAX_TOKENS)
        ids = [raw_prompt(self._loaded, text, max_tokens=longest).ids for text in texts]
        found: list[tuple[TokenReading, ...]] = [()] * len(texts)
        wanted = [place for place, own in enumerate(spans) if own and bool(directions[place].any())]
        budget = reading_budget(self._loaded.device)
        for batch in token_batches([len(ids[place]) for place in wanted], budget):
            if check is not None:
                check()
            places = [wanted[one] for one in batch]
            readings = self._readings([ids[place] for place in places], directions[places])
            for place, row in zip(places, readings, strict=True):
                found[place] = _tokens(spans[place] or [], row[len(self._loaded.tokenization.start) :])
        return found

    def _directions(self, value: str) -> torch.Tensor:
        """[L, H] unit directions of a value over the blocks' residual norms; 0 at blocks that are left out."""
        used = steered_blocks(self._bank, (value, self._recipe))
        vectors = self._bank.entry(self._recipe.estimator).directions.vectors[self._bank.row(value)]
        scale = [float(vectors[block].norm() * self._bank.residual_norm[block]) for block in self.blocks]
        rows = [
            vectors[block] / max(length, 1e-30) if block in used else torch.zeros_like(vectors[block])
            for block, length in zip(self.blocks, scale, strict=True)
        ]
        return torch.stack(rows) / max(1, len(used))

    def _readings(self, ids: Sequence[tuple[int, ...]], directions: torch.Tensor) -> list[list[float | None]]:
        """The readings of a batch's tokens.

        Args:
            ids: [B] tokens of each text, its start token included.
            directions: [B, L, H].
        """
        padded = pad_right(self._loaded, ids)
        mask = padded.mask.bool().cpu()
        total, content = torch.zeros(mask.shape), mask.clone()
        typical, places = self._typical, {block: place for place, block in enumerate(self.blocks)}

        def read(block: int, hidden: torch.Tensor) -> None:
            states = hidden.float().cpu()
            content.logical_and_(content_tokens(states.norm(dim=-1), mask))
            place = places[block]
            total.add_(torch.einsum("bth,bh->bt", states - typical[place], directions[:, place]))

        with (
            self._loaded.passes(),
            hooks_on(self._loaded.blocks, read, self.blocks),
            ending_after(self._loaded.blocks, self.blocks[-1]),
        ):
            self._loaded.model.base_model(input_ids=padded.ids, attention_mask=padded.mask, use_cache=False)
        content.logical_and_(torch.isfinite(total))
        return [
            [round(float(total[row, t]), 5) if content[row, t] else None for t in range(len(own))]
            for row, own in enumerate(ids)
        ]


def _tokens(spans: Sequence[Span], readings: Sequence[float | None]) -> tuple[TokenReading, ...]:
    """Tokens with their places; of several that write one character, the last, at which it is whole."""
    found: list[TokenReading] = []
    for (start, end), reading in zip(spans, readings, strict=False):
        if found and start < found[-1].end:
            start = found.pop().start
        if start < end:
            found.append(TokenReading(start, end, reading))
    return tuple(found)
