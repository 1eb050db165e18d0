"""What situations are about in free words: for each a few values as a name with its definition.

`told_values.csv` holds them by the beginning of the SHA-256 of the situation's text (`training.readings.key`). They
are what teaches the encoder that a text stands near the definition of any value that matters in it, not of the
built-in ones alone.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from pathlib import Path

from training.readings import key
from vispa.taxonomy import Taxonomy, Value

TOLD_VALUES = Path(__file__).parent / "told_values.csv"
#: What stands between the values of a situation.
BETWEEN = " ; "


def told_values(texts: Sequence[str], path: Path = TOLD_VALUES) -> list[tuple[str, ...]]:
    """For each text its values as `name: definition`; none where nobody told any."""
    with path.open(encoding="utf-8", newline="") as file:
        known = {row["situation"]: tuple(row["values"].split(BETWEEN)) for row in csv.DictReader(file)}
    return [known.get(key(text), ()) for text in texts]


def without_names(told: Iterable[Sequence[str]], values: Iterable[Value]) -> list[tuple[str, ...]]:
    """The same without what goes by a name of one of some values: its label, slug or alias.

    So that a value that is left out of a training is left out under every name it has.
    """
    names = {_plain(name) for value in values for name in (value.slug, value.label, *value.aliases)}
    return [tuple(one for one in each if _plain(one.partition(":")[0]) not in names) for each in told]


def built_in_names(slugs: Iterable[str]) -> list[Value]:
    """The built-in values of some slugs."""
    taxonomy = Taxonomy.built_in()
    return [taxonomy[slug] for slug in slugs]


def _plain(name: str) -> str:
    return " ".join(name.lower().replace("_", " ").replace("-", " ").split())
