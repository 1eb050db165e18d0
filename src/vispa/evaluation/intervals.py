"""How sure a figure is: bootstrap intervals, and paired comparison of two methods.

What is drawn are items, or clusters of them where a label says which items belong together.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from vispa.errors import InputError, NumericalError
from vispa.evaluation.clusters import Clusters
from vispa.files.append_log import Identifier
from vispa.records import Record

FloatArray = npt.NDArray[np.float64]

_RESAMPLES = 2000
_PERMUTATIONS = 10_000
# Up to this many items or clusters all sign patterns are gone through instead of drawn.
_EXACT_ITEMS = 13
# Numbers held at once while resampling.
_CHUNK = 1 << 22


class Interval(Record):
    """A figure with its percentile bootstrap interval.

    Attributes:
        estimate: the figure over all items.
        low: lower end.
        high: upper end.
        confidence: share of resamples between the ends.
        resamples: number of resamples.
        n: number of items.
        clusters: number of clusters, whose items were drawn together; None where each item was drawn by itself.
    """

    estimate: float
    low: float
    high: float
    confidence: float
    resamples: int
    n: int
    clusters: int | None = None

    @property
    def drawn(self) -> int:
        """How many there were to draw from: clusters, or items. With a single one the interval has no width."""
        return self.n if self.clusters is None else self.clusters


class PairedDifference(Record):
    """Mean difference of two methods' scores on the same items.

    Attributes:
        difference: mean over items of the first score minus the second.
        low: lower end of the bootstrap interval of the difference.
        high: upper end.
        confidence: share of resamples between the ends.
        p_value: two-sided, of the sign-flip permutation test.
        n: number of items.
        clusters: number of clusters, whose items were drawn and changed signs together; None where each did by itself.
    """

    difference: float
    low: float
    high: float
    confidence: float
    p_value: float
    n: int
    clusters: int | None = None

    @property
    def drawn(self) -> int:
        """See `Interval.drawn`."""
        return self.n if self.clusters is None else self.clusters


def bootstrap_mean(
    values: Sequence[float] | FloatArray,
    *,
    clusters: Sequence[Hashable] | None = None,
    seed: int = 0,
    resamples: int = _RESAMPLES,
    confidence: float = 0.95,
) -> Interval:
    """The mean of N items' scores with its percentile bootstrap interval (Efron 1979).

    Args:
        values: one score an item, [N].
        clusters: one label an item, [N]: items of one label are drawn together, and each resample's figure is the mean
            over all items of the drawn clusters. By default each item is drawn by itself, as where no two share one.
        seed: of the resampling; the same seed gives the same interval.
        resamples: how often as many items or clusters as there are are drawn with replacement.
        confidence: between 0 and 1.

    Raises:
        InputError: no item, a score that is not finite, not one label an item, or unusable settings.

    Example:
        >>> alone = bootstrap_mean([0.1, 0.2, 0.8, 0.9])
        >>> together = bootstrap_mean([0.1, 0.2, 0.8, 0.9], clusters=["a", "a", "b", "b"])
        >>> together.clusters, together.high - together.low > alone.high - alone.low
        (2, True)
    """
    scores = _checked(values, "values")
    _check_settings(resamples, confidence)
    found = Clusters(len(scores), clusters)
    sums = found.sums(scores)
    draws = _draws(len(found), resamples, seed)
    means = np.concatenate([sums[rows].sum(1) / found.sizes[rows].sum(1) for rows in draws])
    return _interval(float(scores.mean()), means, confidence, found, len(scores))


def bootstrap_statistic(
    statistic: Callable[..., float],
    *arrays: npt.NDArray[Any],
    clusters: Sequence[Hashable] | None = None,
    seed: int = 0,
    resamples: int = _RESAMPLES,
    confidence: float = 0.95,
) -> Interval:
    """Any figure of items with its percentile bootstrap interval.

    Args:
        statistic: takes the arrays, whole or resampled by item or cluster, and returns a number.
        arrays: one or more arrays whose first axis is the N items.
        clusters: see `bootstrap_mean`; resamples differ in length where clusters do.
        seed: see `bootstrap_mean`.
        resamples: see `bootstrap_mean`.
        confidence: see `bootstrap_mean`.

    Example:
        >>> bootstrap_statistic(lambda gold, chosen: agreement_figures(gold, chosen).macro_f1, gold, chosen)

    Raises:
        InputError: no item, arrays of unequal length, not one label an item, or unusable settings.
        NumericalError: the statistic of a resample is not finite.
    """
    lengths = {len(array) for array in arrays}
    if len(lengths) != 1 or 0 in lengths:
        raise InputError("arrays", "are empty or not equally long.", "Give arrays with one entry for each item.")
    _check_settings(resamples, confidence)
    n = lengths.pop()
    found = Clusters(n, clusters)
    rows = (found.items(drawn) for chunk in _draws(len(found), resamples, seed) for drawn in chunk)
    figures = np.array([statistic(*(array[row] for array in arrays)) for row in rows])
    if not np.isfinite(figures).all():
        raise NumericalError("the statistic of a resample is not a finite number. Use one that is defined for all.")
    return _interval(float(statistic(*arrays)), figures, confidence, found, n)


def paired_difference(
    first: Mapping[Identifier, float],
    second: Mapping[Identifier, float],
    *,
    clusters: Mapping[Identifier, Hashable] | None = None,
    seed: int = 0,
    resamples: int = _RESAMPLES,
    permutations: int = _PERMUTATIONS,
    confidence: float = 0.95,
) -> PairedDifference:
    """Compare two methods' scores of the same items, joined by the items' identifiers.

    The p value is the share of sign patterns, put on the items' differences at random, whose
    mean is at least as far from 0 as the one seen (Fisher's randomisation test). Items of one
    cluster have one sign. With up to 13 items or clusters all patterns are counted; with more,
    `permutations` are drawn and the one seen is counted among them, so p is never 0.

    Args:
        first: identifier → score under the first method.
        second: identifier → score under the second.
        clusters: identifier → label of at least these items, see `bootstrap_mean`; by default each is by itself.
        seed: of resampling and permutations.
        resamples: see `bootstrap_mean`.
        permutations: number of sign patterns drawn.
        confidence: see `bootstrap_mean`.

    Raises:
        InputError: the identifiers differ, no item, a score that is not finite, an item without a label, or unusable
            settings.
    """
    if first.keys() != second.keys():
        alone = _sorted(first.keys() ^ second.keys())
        shown = ", ".join(map(repr, alone[:3])) + (", …" if len(alone) > 3 else "")
        raise InputError(
            "ids", f"differ: {len(alone):,} occur in one method only ({shown}).", "Compare runs over the same items."
        )
    if permutations < 1:
        raise InputError("permutations", f"is {permutations}.", "Give at least 1.")
    ids = _sorted(first)
    scores = [_checked([method[i] for i in ids], name) for name, method in (("first", first), ("second", second))]
    differences = scores[0] - scores[1]
    labels = None if clusters is None else _labels(ids, clusters)
    interval = bootstrap_mean(differences, clusters=labels, seed=seed, resamples=resamples, confidence=confidence)
    together = Clusters(len(ids), labels).sums(differences)
    return PairedDifference(
        difference=interval.estimate,
        low=interval.low,
        high=interval.high,
        confidence=confidence,
        p_value=_sign_flip_p_value(together, permutations, seed),
        n=interval.n,
        clusters=interval.clusters,
    )


def scores_by_id(ids: Sequence[Identifier], scores: Sequence[float] | FloatArray) -> dict[Identifier, float]:
    """Scores under their items' identifiers, for `paired_difference`.

    Raises:
        InputError: unequal lengths, or an identifier that occurs twice.
    """
    if len(ids) != len(scores):
        raise InputError("scores", f"has {len(scores)} for {len(ids)} items.", "Give one for each item.")
    joined = {identifier: float(score) for identifier, score in zip(ids, scores, strict=True)}
    if len(joined) < len(ids):
        twice = next(identifier for place, identifier in enumerate(ids) if identifier in ids[:place])
        raise InputError("ids", f"holds {twice!r} twice.", "Give every item an id of its own.")
    return joined


def _draws(n: int, resamples: int, seed: int) -> Iterator[npt.NDArray[np.int64]]:
    """Positions of what is drawn of n items or clusters, [rows, n] at a time."""
    generator = np.random.default_rng(seed)
    rows = max(1, _CHUNK // n)
    for start in range(0, resamples, rows):
        yield generator.integers(n, size=(min(rows, resamples - start), n))


def _labels(ids: Sequence[Identifier], clusters: Mapping[Identifier, Hashable]) -> list[Hashable]:
    """The label of each item, in the items' order."""
    if missing := [i for i in ids if i not in clusters]:
        raise InputError("clusters", f"lacks item {missing[0]!r}.", "Give every item a label.")
    return [clusters[i] for i in ids]


def _interval(estimate: float, figures: FloatArray, confidence: float, clusters: Clusters, n: int) -> Interval:
    tail = (1 - confidence) / 2
    low, high = np.quantile(figures, [tail, 1 - tail])
    return Interval(
        estimate=estimate,
        low=float(low),
        high=float(high),
        confidence=confidence,
        resamples=len(figures),
        n=n,
        clusters=clusters.known,
    )


def _sign_flip_p_value(differences: FloatArray, permutations: int, seed: int) -> float:
    """Of the sums of clusters' differences, [K]; an item alone is its own sum."""
    n = len(differences)
    seen = abs(differences.sum())
    # Sums that are equal on paper may differ in the last digits.
    limit = seen - 1e-9 * np.abs(differences).sum()
    if n <= _EXACT_ITEMS:
        signs = 1 - 2 * ((np.arange(1 << n)[:, None] >> np.arange(n)) & 1)
        return float((np.abs(signs @ differences) >= limit).mean())
    generator = np.random.default_rng(seed)
    rows = max(1, _CHUNK // n)
    extreme = 0
    for start in range(0, permutations, rows):
        signs = 1 - 2 * generator.integers(2, size=(min(rows, permutations - start), n), dtype=np.int8)
        extreme += int((np.abs(signs @ differences) >= limit).sum())
    return (extreme + 1) / (permutations + 1)


def _checked(values: Sequence[float] | FloatArray, field: str) -> FloatArray:
    scores = np.asarray(values, dtype=np.float64)
    if scores.ndim != 1 or len(scores) == 0:
        raise InputError(field, "holds no item.", "Give one score for each item.")
    if not np.isfinite(scores).all():
        raise InputError(field, f"holds {scores[~np.isfinite(scores)][0]}.", "Give finite scores.")
    return scores


def _check_settings(resamples: int, confidence: float) -> None:
    if resamples < 1:
        raise InputError("resamples", f"is {resamples}.", "Give at least 1.")
    if not 0 < confidence < 1:
        raise InputError("confidence", f"is {confidence}.", "Give a number between 0 and 1.")


def _sorted(ids: Any) -> list[Identifier]:
    """Identifiers in an order that does not depend on where they come from."""
    return sorted(ids, key=lambda identifier: (isinstance(identifier, str), identifier))
