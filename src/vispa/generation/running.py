"""A batch of rows that write: one token a step for all; rows leave it when they end, and others join."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field

import torch
from torch.nn.functional import pad
from transformers import DynamicCache

from vispa.errors import NumericalError
from vispa.generation.cache import fill_holes, join_rows, kept_in, new_cache, takes_more_rows, trim_rows
from vispa.generation.prefill import not_finite, prefill, raw_logits, unusable_rows
from vispa.generation.rows import Row, Sampling
from vispa.generation.sampling import drawn_tokens, draws
from vispa.models.batching import Padded
from vispa.models.loading import LoadedModel
from vispa.steering.activations import hooks_on
from vispa.steering.carried import CarriedShifts
from vispa.steering.intervention import ActiveSteering

#: Steers a batch of rows while its context lasts.
Steered = Callable[[Sequence[Row]], AbstractContextManager[ActiveSteering]]


@dataclass(eq=False)
class Writing:
    """A row while its text is written.

    Attributes:
        row: what is continued.
        sampling: how to decode.
        ids: the tokens chosen so far.
        shift: see `Generated`; once its prompt has been read.
        error: what went wrong in it alone.
        done: it has left its batch.
    """

    row: Row
    sampling: Sampling
    ids: list[int] = field(default_factory=list)
    shift: dict[int, float] = field(default_factory=dict)
    error: NumericalError | None = None
    done: bool = False
    _draws: list[float] | None = None
    # Places in the cache from its first token to the last of its prompt.
    _places: int = 0

    @property
    def longest(self) -> int:
        """Tokens of prompt and longest text."""
        return len(self.row.prompt.ids) + self.sampling.max_new_tokens

    @property
    def next_draw(self) -> float:
        """The uniform number of the next token; of a row that is sampled."""
        if self._draws is None:
            self._draws = draws([self.row], self.sampling)[0].tolist()
        return self._draws[len(self.ids)]

    @property
    def places(self) -> int:
        """Places in the cache from its first token to its last, the one chosen last not being there yet."""
        return self._places + len(self.ids) - 1

    def begin(self, places: int) -> None:
        """Its prompt has been read."""
        self._places = places

    def reset(self) -> None:
        """As before its prompt was read."""
        self.ids, self.shift, self.error, self.done = [], {}, None, False

    def take(self, token: int, ends: Collection[int]) -> None:
        """Go on with a token."""
        self.ids.append(token)
        self.done = token in ends or len(self.ids) == self.sampling.max_new_tokens

    def fail(self, error: NumericalError) -> None:
        """Leave the batch without having ended."""
        self.error, self.done = error, True


class RunningBatch:
    """Rows whose prompts have been read, and whose texts grow together.

    Rows of any steers and samplings stand side by side: what each needs, its keys and values, shifts and random
    numbers, is its own. A row's text does not depend on when it came and what else is there. No step keeps the
    model: between two others have their turn.

    Args:
        loaded: the model.
        rows: whose prompts are read and whose first tokens are chosen; in inference mode other threads wait meanwhile.
        steered: steers them.
        ends: tokens that end a text.
        gaps: see `prefill`; a batch that others join, of a model that attends to a window of places, has none.

    Raises:
        NumericalError: a logit, activation or shift is not finite.
    """

    def __init__(
        self,
        loaded: LoadedModel,
        rows: Sequence[Writing],
        steered: Steered,
        ends: Collection[int],
        *,
        gaps: bool = True,
    ) -> None:
        self._loaded, self._ends = loaded, ends
        self.rows = list(rows)  #: Those that write, in the order of the cache.
        self.failed = False  #: Whether any has failed so far.
        self._cache: DynamicCache = new_cache(loaded.model.config)
        self._chosen: torch.Tensor
        most = max(writing.sampling.max_new_tokens for writing in rows)
        given = [writing.row for writing in rows]
        with steered(given) as active:
            logits, self._mask, self._positions = prefill(loaded, given, active, self._cache, most, gaps=gaps)
            self._shifts = CarriedShifts(len(rows), active.generated)
            lengths = {block: amount.tolist() for block, amount in active.amounts.items()}
            firsts = self._mask.argmax(-1).tolist()
            for place, writing in enumerate(rows):
                writing.begin(self._mask.shape[1] - firsts[place])
                # Blocks at which only other rows of the batch are steered say nothing of this one.
                own = active.plan.steered_blocks(writing.row.steers)
                writing.shift = {block: amounts[place] for block, amounts in lengths.items() if block in own}
            self._choose(logits)

    @property
    def takes_more(self) -> bool:
        """Whether others can join; some models keep more than keys and values of tokens."""
        return takes_more_rows(self._cache)

    @property
    def held(self) -> int:
        """Places in the cache, of all rows together."""
        return len(self.rows) * self._mask.shape[1] if self.rows else 0

    def step(self) -> None:
        """One forward pass: a token more for each row. A row whose logits are not finite fails alone."""
        with self._loaded.passes(), hooks_on(self._loaded.blocks, self._shifts.apply, self._shifts.blocks):
            self._shifts.advance()
            self._mask = pad(self._mask, (0, 1), value=1)
            self._positions = self._positions + 1
            padded = Padded(self._chosen[:, None], self._mask, self._positions)
            self._choose(raw_logits(self._loaded, padded, **kept_in(self._loaded.model, self._cache)))

    def join(self, other: RunningBatch) -> None:
        """Take in the rows of another batch of the same model, which is not used afterwards; both take more rows."""
        if not other.rows:
            return
        with self._loaded.passes():
            width = max(self._mask.shape[1], other._mask.shape[1])
            masks = [pad(mask, (width - mask.shape[1], 0)) for mask in (self._mask, other._mask)]
            self._mask = torch.cat(masks)
            self._positions = torch.cat([self._positions, other._positions])
            self._chosen = torch.cat([self._chosen, other._chosen])
            self._shifts.join(other._shifts)
            join_rows(self._cache, other._cache)
            self.rows += other.rows

    def drop(self, rows: Collection[Writing]) -> None:
        """Let rows leave before they have ended."""
        for writing in rows:
            writing.done = True
        with self._loaded.passes():
            self._leave()

    def _choose(self, logits: torch.Tensor) -> None:
        """The next token of each row; those that have ended leave."""
        # Largest logit and its token at once: in bfloat16 `argmax` alone takes four times as long.
        largest, chosen = logits.max(-1)
        unusable = unusable_rows(largest)
        if unusable:
            logits[unusable], chosen[unusable] = 0.0, 0
        sampled = [place for place, writing in enumerate(self.rows) if not writing.sampling.is_greedy]
        if sampled:
            samplings = [self.rows[place].sampling for place in sampled]
            numbers = logits.new_tensor([self.rows[place].next_draw for place in sampled], dtype=torch.float32)
            chosen[sampled] = drawn_tokens(logits[sampled], samplings, numbers)
        self._chosen = chosen
        for writing, token in zip(self.rows, chosen.tolist(), strict=True):
            writing.take(token, self._ends)
        for place in unusable:
            self.failed = True
            self.rows[place].fail(not_finite(place))
        self._leave()

    def _leave(self) -> None:
        """Rows that are done go; those at the end take their places, so that few are copied."""
        stay = [place for place, writing in enumerate(self.rows) if not writing.done]
        if len(stay) == len(self.rows):
            return
        order = list(range(len(stay)))
        kept = [place for place in stay if place < len(stay)]
        holes = sorted(set(order) - set(kept))
        for hole, mover in zip(holes, stay[len(kept) :], strict=True):
            order[hole] = mover
        self.rows = [self.rows[place] for place in order]
        if not order:
            self._cache = new_cache(self._loaded.model.config)
            return
        keep = torch.tensor(order, device=self._mask.device)
        self._mask, self._positions, self._chosen = self._mask[keep], self._positions[keep], self._chosen[keep]
        self._shifts.keep(order)
        fill_holes(self._cache, order)
        unused = self._mask.shape[1] - max(writing.places for writing in self.rows)
        if unused and self.takes_more:
            trim_rows(self._cache, unused)
            self._mask = self._mask[:, unused:]
