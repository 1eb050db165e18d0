"""Items that belong together: those of one text are drawn, and change sides, as one.

A survey asks one question in many countries, and a data set one situation for many values. Such items are not
independent, and intervals that draw each by itself are too narrow, so whole clusters are drawn with replacement
(Davison and Hinkley 1997, section 3.8; Cameron, Gelbach and Miller 2008).
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence

import numpy as np
import numpy.typing as npt

from vispa.errors import InputError
from vispa.items.item import Item

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]


def texts_of(items: Sequence[Item]) -> list[str]:
    """The label by which items belong together: the question or situation that they share."""
    return [item.text for item in items]


class Clusters:
    """N items in K clusters, which are numbered by their first item.

    Where every item is alone, cluster k is item k: drawing clusters is then drawing items, to the bit.

    Args:
        items: N.
        labels: what items of one cluster share, one label an item; None where every item is alone.

    Attributes:
        sizes: number of items of each cluster, [K].
        known: K where there are labels; None where there are none.

    Raises:
        InputError: not one label an item.

    Example:
        >>> clusters = Clusters(4, ["a", "b", "a", "c"])
        >>> clusters.sums(np.array([1.0, 2.0, 3.0, 4.0])).tolist()
        [4.0, 2.0, 4.0]
        >>> clusters.items(np.array([0, 0, 2])).tolist()
        [0, 2, 0, 2, 3]
    """

    def __init__(self, items: int, labels: Sequence[Hashable] | None = None) -> None:
        if labels is not None and len(labels) != items:
            raise InputError("clusters", f"has {len(labels)} labels for {items} items.", "Give one for each item.")
        numbers: dict[Hashable, int] = {}
        found = range(items) if labels is None else [numbers.setdefault(label, len(numbers)) for label in labels]
        self._of: IntArray = np.array(found, dtype=np.int64)
        self.sizes: IntArray = np.bincount(self._of).astype(np.int64)
        self.known = None if labels is None else len(self.sizes)
        # The items, cluster after cluster, and where each cluster begins among them.
        self._members: IntArray = np.argsort(self._of, kind="stable")
        self._starts: IntArray = np.cumsum(self.sizes) - self.sizes

    def __len__(self) -> int:
        return len(self.sizes)

    def sums(self, values: FloatArray) -> FloatArray:
        """The sum of each cluster's numbers, [K]; `values` has one an item, [N]."""
        if len(self) == len(values):
            return values
        return np.bincount(self._of, weights=values).astype(np.float64)

    def items(self, drawn: IntArray) -> IntArray:
        """Places of all items of the drawn clusters, one cluster after another, each as often as it was drawn."""
        if len(self) == len(self._of):
            return drawn
        sizes = self.sizes[drawn]
        before = np.cumsum(sizes) - sizes
        places: IntArray = self._members[np.repeat(self._starts[drawn] - before, sizes) + np.arange(sizes.sum())]
        return places
