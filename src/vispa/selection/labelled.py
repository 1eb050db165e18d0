"""Labelled situations: texts with the values at stake in each, how clearly, and on which side."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np

from vispa.errors import InputError
from vispa.files.reading import JSON_LINES, json_entries, shortened
from vispa.files.tables import read_table
from vispa.models.encoder import FloatArray
from vispa.request import check_text

#: On which side a situation stands: it promotes the value, violates it, or both. Of a value to be avoided
#: (toxicity, harmfulness), `+` is that it is avoided.
Side = Literal["+", "-", "~"]

_FOLDER = Path(__file__).parent / "situations"
#: What selectors learn from.
TRAINING = _FOLDER / "training.csv"
#: What selectors are chosen and calibrated on; figures are reported on others.
DEVELOPMENT = _FOLDER / "development.csv"

#: How relevant a value is where it plays a part, between 0 where it is not at stake and 1 where it clearly is. Heads
#: that learn it find more of what is clearly at stake, and no less of the rest (development split).
SECONDARY = 0.6

_COLUMNS = ("situation", "values")
_STAKE = re.compile(r"([^\s:]+):([12])([+~-])")
_WRITE = 'Write slug:scale side, as in "security:2- tradition:1+", or nothing where no value is at stake.'


@dataclass(frozen=True)
class Stake:
    """How a value is at stake in a situation.

    Attributes:
        scale: 1 where it plays a part, 2 where it is clearly at stake.
        side: see `Side`.
    """

    scale: int
    side: Side


@dataclass(frozen=True)
class Labelled:
    """N situations with the values at stake in each.

    Attributes:
        texts: N.
        domains: walk of life of each; empty where it is not told.
        stakes: slug → how it is at stake; values that are not are left out.
    """

    texts: tuple[str, ...]
    domains: tuple[str, ...]
    stakes: tuple[Mapping[str, Stake], ...]

    def of_domain(self, domain: str) -> Labelled:
        """Those of one walk of life.

        Raises:
            InputError: there are none.
        """
        kept = [place for place, own in enumerate(self.domains) if own == domain]
        if not kept:
            known = ", ".join(sorted(set(self.domains) - {""})) or "none"
            raise InputError("domain", f"{shortened(domain)} has no situation.", f"Domains there are: {known}.")
        texts, domains, stakes = zip(*((self.texts[i], self.domains[i], self.stakes[i]) for i in kept), strict=True)
        return Labelled(texts, domains, stakes)


def load_situations(path: Path = TRAINING, values: Sequence[str] | None = None) -> Labelled:
    """Read labelled situations: those that ship with the package, or a user's own.

    Args:
        path: CSV or TSV with the columns `situation`, `values` and, where it is told, `domain`; or JSON
            Lines with such fields. `values` holds `slug:scale side`, parted by spaces.
        values: slugs that labels may name; any by default.

    Raises:
        InputError: unreadable, or with the line: malformed, no text, a label that cannot be read, names an unknown
            value or one twice, a text that occurs twice; or no situation at all.
    """
    texts: dict[str, str] = {}
    domains, stakes = [], []
    for place, fields in _entries(path):
        text = _text(fields, "situation", place)
        check_text(text, f"{place}: situation")
        if text in texts:
            raise InputError(place, f"holds the situation of {texts[text]} again.", "Keep one of them.")
        texts[text] = place
        domains.append(_text(fields, "domain", place) if "domain" in fields else "")
        stakes.append(_stakes(_text(fields, "values", place), place, values))
    if not texts:
        raise InputError(str(path), "holds no situation.", "Give at least one.")
    return Labelled(tuple(texts), tuple(domains), tuple(stakes))


def scale_matrix(labelled: Labelled, values: Sequence[str]) -> FloatArray:
    """[N, V]: 0 where a value is not at stake, 1 where it plays a part, 2 where it is clearly at stake."""
    rows = [[stakes[slug].scale if slug in stakes else 0 for slug in values] for stakes in labelled.stakes]
    return np.array(rows, dtype=np.float32).reshape(len(labelled.texts), len(values))


def label_matrix(labelled: Labelled, values: Sequence[str]) -> FloatArray:
    """[N, V], 1 where a value is at stake, secondary or clearly."""
    return (scale_matrix(labelled, values) > 0).astype(np.float32)


def target_matrix(labelled: Labelled, values: Sequence[str]) -> FloatArray:
    """[N, V]: relevance from 0 to 1; see `SECONDARY`."""
    relevance: FloatArray = np.array((0.0, SECONDARY, 1.0), dtype=np.float32)[
        scale_matrix(labelled, values).astype(int)
    ]
    return relevance


def side_matrix(labelled: Labelled, values: Sequence[str]) -> FloatArray:
    """[N, V]: 1 where a situation promotes a value, −1 where it violates it, 0 for both; nan where not at stake."""
    number = {"+": 1.0, "-": -1.0, "~": 0.0}
    rows = [[number[stakes[slug].side] if slug in stakes else np.nan for slug in values] for stakes in labelled.stakes]
    return np.array(rows, dtype=np.float32).reshape(len(labelled.texts), len(values))


def written(stakes: Mapping[str, Stake]) -> str:
    """Stakes as files write them."""
    return " ".join(f"{slug}:{stake.scale}{stake.side}" for slug, stake in stakes.items())


def _entries(path: Path) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """The place and the fields of each situation."""
    if path.suffix.lower() in (".json", *JSON_LINES):
        for entry in json_entries(path):
            if not isinstance(entry.value, dict):
                raise InputError(entry.place, "is not a JSON object.", "Write an object with situation and values.")
            _check_columns(tuple(entry.value), entry.place)
            yield entry.place, entry.value
        return
    table = read_table(path, _COLUMNS)
    _check_columns(table.columns, str(path))
    for row in table.rows:
        yield row.place, row.fields


def _check_columns(names: Sequence[str], place: str) -> None:
    missing = [name for name in _COLUMNS if name not in names]
    if not missing:
        return
    problem = f"lacks {' and '.join(missing)}."
    if "stances" in names:
        problem = (
            "holds stances, as an older release labelled situations, without saying how clearly values are at stake."
        )
    raise InputError(place, problem, f"Name the situation's text situation and its labels values. {_WRITE}")


def _text(fields: Mapping[str, Any], name: str, place: str) -> str:
    found = fields[name]
    if not isinstance(found, str):
        raise InputError(place, f"has {name} {shortened(found)}, which is no text.", "Write a text.")
    return found


def _stakes(text: str, place: str, values: Sequence[str] | None) -> dict[str, Stake]:
    found: dict[str, Stake] = {}
    for label in text.split():
        match = _STAKE.fullmatch(label)
        if match is None:
            raise InputError(place, f"has the label {shortened(label)}, which cannot be read.", _WRITE)
        slug, scale, side = match.groups()
        if values is not None and slug not in values:
            raise InputError(place, f"names the unknown value {shortened(slug)}.", f"Values: {', '.join(values)}.")
        if slug in found:
            raise InputError(place, f"labels {slug} twice.", "Keep one of the labels.")
        assert side in get_args(Side)
        found[slug] = Stake(int(scale), side)  # type: ignore[arg-type]
    return found
