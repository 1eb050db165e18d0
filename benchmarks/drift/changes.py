"""The changes that are studied: taxonomies before and after, and the pairs that were written for them."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path

from vispa.taxonomy import Taxonomy
from vispa.taxonomy.pairs import ContrastivePair, read_pairs
from vispa.taxonomy.taxonomy import BUILT_IN
from vispa.taxonomy.value import Value

PAIRS = Path(__file__).parents[1] / "data" / "drift"
#: Shares of a value's pairs that get another generation's wording.
SHARES = (0.1, 0.25, 0.5, 1.0)
#: Values whose pairs were written again.
REWORDED = ("benevolence", "tradition")
#: A value's other label, with which its definition and its pairs stay.
RENAMED = {"benevolence": "kindness to one's own", "tradition": "the ways of one's forebears"}
#: The value that is split, and what it is split into.
SPLIT = "universalism"
HALVES = (
    Value(
        "tolerance", "tolerance", "drift", "Understanding and accepting people who are, believe and live otherwise "
        "than oneself.",
    ),
    Value(
        "care_for_nature", "care for nature", "drift", "Protecting animals, plants, waters and land for their own sake."
    ),
)  # fmt: skip
#: Values that nobody foresaw.
ADDED = (
    Value(
        "digital_privacy", "digital privacy", "drift", "Deciding oneself who may collect, see and use the traces of "
        "one's life in data.",
    ),
    Value(
        "planetary_health", "planetary health", "drift", "The health of people and of the earth's living systems, kept "
        "together for those who come after.",
    ),
)  # fmt: skip


def new_pairs(slug: str) -> tuple[ContrastivePair, ...]:
    """The pairs that were written for this study: of a reworded, half or unforeseen value."""
    return read_pairs(PAIRS / f"{slug}.csv")


def changed(
    taxonomy: Taxonomy,
    folder: Path,
    *,
    without: Sequence[str] = (),
    added: Sequence[Value] = (),
    labels: Mapping[str, str] | None = None,
    pairs: Mapping[str, Sequence[ContrastivePair]] | None = None,
) -> Taxonomy:
    """Another version of a taxonomy.

    Args:
        taxonomy: the earlier one, of built-in values.
        folder: where pairs are written that belong to no file of their own.
        without: slugs of values that go.
        added: values that come last, with the pairs written for this study.
        labels: slug → another label.
        pairs: slug → other pairs.
    """
    labels, written = labels or {}, {}
    for slug, own in (pairs or {}).items():
        written[slug] = folder / f"{slug}.csv"
        with written[slug].open("w", encoding="utf-8", newline="") as file:
            table = csv.DictWriter(file, list(asdict(own[0])))
            table.writeheader()
            table.writerows(map(asdict, own))
    kept = [value for value in taxonomy.values if value.slug not in without]
    values = [replace(one, label=labels.get(one.slug, one.label)) for one in kept]
    files = {value.slug: BUILT_IN / "pairs" / f"{value.slug}.csv" for value in kept}
    files |= {value.slug: PAIRS / f"{value.slug}.csv" for value in added}
    return Taxonomy([*values, *added], {**files, **written})
