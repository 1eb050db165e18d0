"""How far directions move: the recipe's estimator, of one value against the others, and mean differences.

One value against the others is a difference of means, so that its directions before tell the means of values that
stay: only sentences of values that change are read.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch

from benchmarks.drift.changes import ADDED, HALVES, REWORDED, SHARES, SPLIT, new_pairs
from vispa.models.loading import LoadedModel
from vispa.steering.activations import read_activations
from vispa.steering.bank import VectorBank
from vispa.steering.readings import Reading
from vispa.steering.recipe import Recipe
from vispa.taxonomy import Taxonomy

_MEAN_DIFFERENCE: Reading = "last"


@dataclass(frozen=True)
class Read:
    """Activations of a value's N pairs at the recipe's blocks, float64.

    Attributes:
        expressing: [N, L, H] of the expressing sentences, as the recipe's estimator reads them.
        difference: [N, L, H] of last tokens, expressing less opposing.
    """

    expressing: torch.Tensor
    difference: torch.Tensor

    def __getitem__(self, rows: Sequence[int]) -> Read:
        return Read(self.expressing[list(rows)], self.difference[list(rows)])

    def with_rows_of(self, other: Read) -> Read:
        """Both one after the other."""
        return Read(*(torch.cat(both) for both in zip(vars(self).values(), vars(other).values(), strict=True)))


@dataclass(frozen=True)
class Readings:
    """What was read of a model.

    Attributes:
        values: slugs of the V values before any change.
        means: [V, L, H] of their expressing sentences, but for what all have in common.
        old: of the values' own pairs.
        new: of the pairs written for this study.
    """

    values: tuple[str, ...]
    means: torch.Tensor
    old: dict[str, Read]
    new: dict[str, Read]

    @classmethod
    def of(cls, loaded: LoadedModel, bank: VectorBank, taxonomy: Taxonomy, recipe: Recipe) -> Readings:
        """Read the sentences of all values that change.

        Args:
            loaded: the model.
            bank: with directions of one value against the others, of the values before any change.
            taxonomy: these values.
            recipe: of one value against the others; its blocks are read.
        """
        blocks = recipe.chosen_blocks(len(loaded.blocks))
        entry = bank.entry(recipe.estimator)
        sides = {slug: taxonomy.sentences(slug) for slug in (*REWORDED, SPLIT)}
        sides |= {f"new {slug}": _sides(slug) for slug in (*REWORDED, *(one.slug for one in (*HALVES, *ADDED)))}
        texts = [text for pair in sides.values() for side in pair for text in side]
        wanted: tuple[Reading, ...] = tuple(sorted({entry.reading, _MEAN_DIFFERENCE}))
        states = read_activations(loaded, texts, readings=wanted, blocks=blocks)
        lengths = [len(side) for pair in sides.values() for side in pair]
        own, last = (torch.split(states[one].double(), lengths) for one in (entry.reading, _MEAN_DIFFERENCE))
        found = {name: Read(own[2 * place], last[2 * place] - last[2 * place + 1]) for place, name in enumerate(sides)}
        vectors = entry.directions.vectors[:, list(blocks)].double()
        first = REWORDED[0]
        common = found[first].expressing.mean(0) - vectors[bank.info.values.index(first)]
        new = {name.removeprefix("new "): one for name, one in found.items() if name.startswith("new ")}
        old = {name: one for name, one in found.items() if not name.startswith("new ")}
        return cls(bank.info.values, vectors + common, old, new)

    def after(
        self, *, replaced: Mapping[str, Read] | None = None, without: Sequence[str] = (), added: Sequence[str] = ()
    ) -> dict[str, torch.Tensor]:
        """Slug → direction [L, H] of one value against the others after a change.

        Args:
            replaced: slug → what is read of its pairs now, also of values that come.
            without: values that go.
            added: values of this study that come.
        """
        means = {slug: self.means[place] for place, slug in enumerate(self.values) if slug not in without}
        read = {**{slug: self.new[slug] for slug in added}, **(replaced or {})}
        means |= {slug: one.expressing.mean(0) for slug, one in read.items()}
        common = torch.stack(list(means.values())).mean(0)
        return {slug: mean - common for slug, mean in means.items()}


def _sides(slug: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    pairs = new_pairs(slug)
    return tuple(pair.positive for pair in pairs), tuple(pair.negative for pair in pairs)


def cosine(one: torch.Tensor, other: torch.Tensor) -> float:
    """Of two directions [L, H], mean over blocks."""
    return float(torch.cosine_similarity(one, other, dim=-1).mean())


# ---------------------------------------------------------------- figures


def study(readings: Readings, *, draws: int, seed: int) -> dict[str, Any]:
    """All changes' figures.

    Args:
        readings: of the model.
        draws: of which pairs are replaced.
        seed: of the draws.
    """
    return {
        "reworded": {slug: reworded(readings, slug, draws=draws, seed=seed) for slug in REWORDED},
        "split": split(readings),
        "added": {value.slug: unforeseen(readings, value.slug) for value in ADDED},
    }


#: The two estimators compared, and how a value's direction comes from what is read of its pairs.
Direction = Callable[[Read], torch.Tensor]


def reworded(readings: Readings, slug: str, *, draws: int, seed: int) -> dict[str, Any]:
    """Cosine of a value's direction to what it was, by share of its pairs in new wording.

    With them, of halves of its pairs to other halves, in the same wording and in the new one, and of the direction of
    all new pairs to those of the other values.
    """
    old, new = readings.old[slug], readings.new[slug]
    chance = np.random.default_rng(seed)
    rest = [other for other in readings.values if other != slug]
    after = readings.after(replaced={slug: new})
    before = readings.after()
    found: dict[str, Any] = {"shares": {}, "halves": {}}
    for name, direction in _estimators(readings, slug).items():
        reference = direction(old)
        shares = {}
        for share in SHARES:
            if share == 1.0:
                shares["1"] = jackknife(new, partial(_cosine_to, reference, direction))
            else:
                each = [cosine(direction(mixed(old, new, share, chance)), reference) for _ in range(draws)]
                shares[f"{share:g}"] = spread(each)
        found["shares"][name] = shares
        found["halves"][name] = _halves(old, new, direction, draws, chance)
    nearest = sorted(((cosine(after[slug], before[other]), other) for other in rest), reverse=True)
    found["nearest_others"] = [{"value": other, "cosine": one} for one, other in nearest[:3]]
    found["others"] = least_and_mean([cosine(after[other], before[other]) for other in rest])
    return found


def split(readings: Readings) -> dict[str, Any]:
    """Cosine of either half to the value that was split, and of the other values to what they were."""
    return _come(readings, [one.slug for one in HALVES], (SPLIT,))


def unforeseen(readings: Readings, slug: str) -> dict[str, Any]:
    """The values nearest to a new one, and the cosine of all others to what they were."""
    return _come(readings, [slug], ())


def _come(readings: Readings, slugs: Sequence[str], gone: Sequence[str]) -> dict[str, Any]:
    before, after = readings.after(), readings.after(without=gone, added=slugs)
    found: dict[str, Any] = {"values": {}}
    for slug in slugs:
        near = sorted(((cosine(after[slug], before[old]), old) for old in readings.values), reverse=True)
        shown = dict.fromkeys((*gone, *(old for _, old in near[:2])))
        nearest = [{"value": old, **_to(readings, slug, before[old], slugs, gone)} for old in shown]
        found["values"][slug] = {"nearest": nearest}
    rest = [slug for slug in readings.values if slug not in gone]
    found["others"] = least_and_mean([cosine(after[slug], before[slug]) for slug in rest])
    return found


def _to(
    readings: Readings, slug: str, old: torch.Tensor, slugs: Sequence[str], gone: Sequence[str]
) -> dict[str, float]:
    """Cosine of a new value's direction to an old one, with its interval over the new pairs."""

    def figure(read: Read) -> float:
        return cosine(readings.after(without=gone, added=slugs, replaced={slug: read})[slug], old)

    return jackknife(readings.new[slug], figure)


def _cosine_to(reference: torch.Tensor, direction: Direction, read: Read) -> float:
    return cosine(direction(read), reference)


def _estimators(readings: Readings, slug: str) -> dict[str, Direction]:
    return {
        "one against others": lambda read: readings.after(replaced={slug: read})[slug],
        "mean difference": lambda read: read.difference.mean(0),
    }


def _halves(old: Read, new: Read, direction: Direction, draws: int, chance: np.random.Generator) -> dict[str, Any]:
    """Cosine of a direction of half of the old pairs to that of the other half, and to that of half of the new ones."""
    same, other = [], []
    for _ in range(draws):
        first, second = np.array_split(chance.permutation(len(old.expressing)), 2)
        half = direction(old[first.tolist()])
        same.append(cosine(half, direction(old[second.tolist()])))
        drawn = chance.choice(len(new.expressing), min(len(second), len(new.expressing)), replace=False)
        other.append(cosine(half, direction(new[drawn.tolist()])))
    return {"same wording": spread(same), "new wording": spread(other)}


def mixed(old: Read, new: Read, share: float, chance: np.random.Generator) -> Read:
    """A value's pairs with a share of them, drawn at random, in the place of which are as many new ones."""
    count = round(share * len(old.expressing))
    kept = chance.choice(len(old.expressing), len(old.expressing) - count, replace=False)
    taken = chance.choice(len(new.expressing), count, replace=False)
    return old[kept.tolist()].with_rows_of(new[taken.tolist()])


def jackknife(read: Read, figure: Callable[[Read], float]) -> dict[str, float]:
    """A figure of pairs with its 95 % interval over pairs: each is left out in turn."""
    count = len(read.expressing)
    each = np.array([figure(read[[row for row in range(count) if row != left]]) for left in range(count)])
    error = float(np.sqrt((count - 1) * each.var()))
    estimate = figure(read)
    return {"estimate": estimate, "low": estimate - 1.96 * error, "high": min(1.0, estimate + 1.96 * error), "n": count}


def spread(each: Sequence[float]) -> dict[str, float]:
    """Mean of draws, and where the middle 95 % of them lie."""
    low, high = np.quantile(each, [0.025, 0.975])
    return {"estimate": float(np.mean(each)), "low": float(low), "high": float(high), "n": len(each)}


def least_and_mean(each: Sequence[float]) -> dict[str, float]:
    """Of the other values' cosines."""
    return {"mean": float(np.mean(each)), "least": min(each), "n": len(each)}
