"""The tables that tokens gather their shifts from, on a worker: after each block a row for what some tokens get."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable, Sequence
from typing import NamedTuple

import torch

from vispa.errors import InputError
from vispa.steering.intervention import Shifts
from vispa.steering.recipe import Recipe, Steer


class Rows(NamedTuple):
    """The rows that a request's tokens gather: the prompt's, those of its subject, its last, and generated ones.

    Generated tokens gather a second one of what fades as the text grows.
    """

    read: int
    subject: int
    end: int
    generated: int
    fading: int = 0


_GENERATED = ("all", "generated", "last")

#: Rows of who is not steered. Row 0 is nothing.
NOTHING = Rows(0, 0, 0, 0)


class Tables:
    """For each block a table of what is added after it; tables stay where they are, as captured graphs need it.

    Rows that hang on steers alone are kept for later requests with the same steers; where room is needed, those that
    were not used for longest go.

    Args:
        blocks: number of the model's blocks.
        width: H.
        rows: of each table, the empty one included.
        device: where the model is.
        dtype: of the model.
        lazy: a block has its table once something is added there; not where graphs are captured.
    """

    def __init__(
        self, blocks: int, width: int, rows: int, *, device: torch.device, dtype: torch.dtype, lazy: bool
    ) -> None:
        self.width = width  #: H.
        self.dtype = dtype  #: Of the model.
        self._shape, self._device = (rows, width), device
        self._tables: list[torch.Tensor | None] = [None] * blocks
        self._free = list(range(rows - 1, 0, -1))
        self._stale: list[int] = []  # Rows in which others' shifts may still stand.
        self._kept: OrderedDict[Hashable, Rows] = OrderedDict()
        self._users: dict[Hashable, int] = {}
        if not lazy:
            for block in range(blocks):
                self._made(block)

    def of(self, block: int) -> torch.Tensor | None:
        """The table [rows, H] of a block; None where nothing was ever added."""
        return self._tables[block]

    def known(self, key: Hashable) -> Rows | None:
        """The rows of steers that were written before; `release` them."""
        rows = self._kept.get(key)
        if rows is not None:
            self._kept.move_to_end(key)
            self._users[key] = self._users.get(key, 0) + 1
        return rows

    def keep(self, key: Hashable, rows: Rows) -> None:
        """Keep rows for later requests with the same steers; `release` them."""
        self._kept[key], self._users[key] = rows, 1

    def release(self, key: Hashable) -> None:
        """A request with these steers has ended."""
        self._users[key] -= 1

    def take(self, steers: Sequence[Steer], default: Recipe, *, subject: bool) -> Rows:
        """Empty rows for steers; those that will be the same are one.

        Args:
            steers: of a request.
            default: recipe of steers that name none.
            subject: its prompt has a subject.
        """
        recipes = [steer.recipe or default for steer in steers]
        factors = [
            [float(recipe.scope in ("all", "prompt")) for recipe in recipes],
            [recipe.subject_share * (recipe.scope in ("all", "prompt")) for recipe in recipes],
            [float(recipe.scope in ("all", "prompt", "last")) for recipe in recipes],
            [float(recipe.scope in _GENERATED and recipe.remains == 1) for recipe in recipes],
            [float(recipe.scope in _GENERATED and recipe.remains != 1) for recipe in recipes],
        ]
        if not subject:
            factors[1] = factors[0]
        found: dict[tuple[float, ...], int] = {(0.0,) * len(recipes): 0}
        return Rows(*(found[key] if key in found else found.setdefault(key, self.row()) for key in map(tuple, factors)))

    def give_back(self, rows: Rows) -> None:
        """Rows that nobody uses any more."""
        self._free += sorted(set(rows) - {0})

    def places(self, rows: Sequence[Rows]) -> torch.Tensor:
        """Where N requests' rows are, [N, 5], as `write` takes it; once for all blocks."""
        return torch.tensor(rows, device=self._device).reshape(-1, len(NOTHING))

    def clear(self) -> None:
        """Empty the rows that were given out since, before a pass that gathers them."""
        if not self._stale:
            return
        places = torch.tensor(self._stale, device=self._device)
        for table in self._tables:
            if table is not None:
                table.index_fill_(0, places, 0)
        self._stale = []

    def write(self, block: int, places: torch.Tensor, shifts: Shifts) -> None:
        """Write what N requests get after a block.

        Args:
            block: its number.
            places: see `places`.
            shifts: each [N, 1, H], or None.
        """
        self.clear()
        nothing = torch.zeros(len(places), self._shape[1], device=self._device, dtype=self.dtype)
        stays = shifts.generated.get(1.0)
        # A request has steers that fade in one way at most: the others' shares of its row are nothing.
        fades = [part for remains, part in shifts.generated.items() if remains != 1]
        read, subject, end, generated, fading = (
            nothing if part is None else part[:, 0].to(self._device, self.dtype)
            for part in (
                shifts.prompt,
                shifts.subject,
                shifts.prompt_end,
                stays,
                sum(fades[1:], fades[0]) if fades else None,
            )
        )
        vectors = torch.stack([read, read - subject, read + end, generated, fading], dim=1)
        # Row 0 stays nothing; to look for those that are not there would stop a GPU.
        vectors = torch.where((places > 0)[..., None], vectors, 0)
        self._made(block)[places.flatten()] = vectors.flatten(0, 1)

    def row(self) -> int:
        """A row of all tables, which `clear` empties.

        Raises:
            RuntimeError: all are used.
        """
        if not self._free:
            key = next((key for key in self._kept if not self._users[key]), None)
            if key is None:
                raise RuntimeError("more requests are steered at a time than there are rows for")
            self.give_back(self._kept.pop(key))
            del self._users[key]
        self._stale.append(self._free.pop())
        return self._stale[-1]

    def _made(self, block: int) -> torch.Tensor:
        table = self._tables[block]
        if table is None:
            table = self._tables[block] = torch.zeros(*self._shape, device=self._device, dtype=self.dtype)
        return table


def remains_of(steers: Sequence[Steer], default: Recipe) -> float:
    """The share that a generated token leaves to the next of those of a request's shifts that fade; 1 if none does.

    Args:
        steers: of the request.
        default: recipe of steers that name none.

    Raises:
        InputError: some fade in one way and some in another, for which one row is not enough.
    """
    recipes = [steer.recipe or default for steer in steers]
    found = {recipe.remains for recipe in recipes if recipe.scope in _GENERATED} - {1.0}
    if len(found) > 1:
        raise InputError("half_life", "differs between steers of one row, which vllm cannot do.", "Give one for all.")
    return next(iter(found), 1.0)
