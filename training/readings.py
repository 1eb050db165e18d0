"""From readers' labels to the labelled situations: `python -m training.readings`.

Two readers labelled every situation without seeing each other's labels; where they differ in scale, or one says
that the value is promoted and the other that it is violated, a third settled the value without knowing what they
had said. The scale is the median of those asked, the side the one that most of those say who find the value at
stake, `~` where no side has most. `readings.csv` holds what was said, by the beginning of the SHA-256 of a
situation's text; this writes it into the situations' files.
"""

from __future__ import annotations

import csv
import hashlib
import statistics
import tomllib
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vispa.files.writing import replacing
from vispa.selection.labelled import DEVELOPMENT, TRAINING, Labelled, Side, Stake, load_situations, written

HERE = Path(__file__).parent
READINGS = HERE / "readings.csv"
CODES = HERE / "reading_codes.toml"
TEST = HERE.parent / "benchmarks" / "data" / "test_situations.csv"
#: More situations to learn from, labelled once, by who wrote them; they do not ship.
READ_ONCE = HERE / "read_once.csv"
#: Every file of labelled situations by its split.
SPLITS: Mapping[str, Path] = {"training": TRAINING, "development": DEVELOPMENT, "test": TEST}

_ABSENT = Stake(0, "~")

#: What a reader said of a situation: slug → how the value is at stake; a scale of 0 where a third reader was asked.
Reading = Mapping[str, Stake]


@dataclass(frozen=True)
class Readings:
    """What was said of one situation.

    Attributes:
        first: reader.
        second: reader.
        third: of the values on which they differ.
    """

    first: Reading
    second: Reading
    third: Reading

    def merged(self) -> dict[str, Stake]:
        """The labels that the readings come to."""
        found = {slug: self._settled(slug) for slug in self._order()}
        return {slug: stake for slug, stake in found.items() if stake.scale}

    def _settled(self, slug: str) -> Stake:
        said = [reading.get(slug, _ABSENT) for reading in (self.first, self.second)]
        if slug in self.third:
            said.append(self.third[slug])
        sides = Counter(stake.side for stake in said if stake.scale)
        ((side, count),) = sides.most_common(1) or [("~", 0)]
        return Stake(
            int(statistics.median_low([stake.scale for stake in said])), side if 2 * count > sides.total() else "~"
        )

    def _order(self) -> list[str]:
        named = {*self.first, *self.second, *self.third}
        return [slug for slug in codes().values() if slug in named]


def codes() -> dict[str, str]:
    """Three letters → slug, in the taxonomy's order."""
    return tomllib.loads(CODES.read_text(encoding="utf-8"))


def key(text: str) -> str:
    """By what the readings call a situation."""
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def split_of(text: str) -> str:
    """The split that a situation's text falls into, unless it nearly repeats one of the training split."""
    return {0: "test", 1: "test", 2: "development"}.get(
        int(hashlib.sha256(text.encode()).hexdigest(), 16) % 10, "training"
    )


def load_readings() -> dict[str, Readings]:
    """What was said of every situation, by its key."""
    slugs = codes()
    with READINGS.open(encoding="utf-8", newline="") as file:
        return {
            row["situation"]: Readings(*(_read(row[column], slugs) for column in ("first", "second", "third")))
            for row in csv.DictReader(file)
        }


def _read(text: str, slugs: Mapping[str, str]) -> Reading:
    sides: dict[str, Side] = {"+": "+", "-": "-", "~": "~", "": "~"}
    return {slugs[label[:3]]: Stake(int(label[3]), sides[label[4:]]) for label in text.split()}


def relabelled(situations: Labelled, readings: Mapping[str, Readings]) -> Labelled:
    """The same situations with the labels that the readings come to."""
    stakes = tuple(readings[key(text)].merged() for text in situations.texts)
    return Labelled(situations.texts, situations.domains, stakes)


def learnt_from() -> Labelled:
    """The situations of the training split, then those that were read once."""
    split, more = load_situations(), load_situations(READ_ONCE)
    return Labelled(*((*ours, *theirs) for ours, theirs in zip(_columns(split), _columns(more), strict=True)))


def _columns(situations: Labelled) -> tuple[tuple[Any, ...], ...]:
    return situations.texts, situations.domains, situations.stakes


def write(situations: Labelled, path: Path) -> None:
    """Write a file of labelled situations."""
    with replacing(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["situation", "domain", "values"])
        columns = zip(situations.texts, situations.domains, situations.stakes, strict=True)
        writer.writerows([text, domain, written(stakes)] for text, domain, stakes in columns)


def main() -> None:
    """Write the readings' labels into every file of situations."""
    readings = load_readings()
    for split, path in SPLITS.items():
        situations = relabelled(load_situations(path), readings)
        write(situations, path)
        print(f"{split}: {len(situations.texts)} situations in {path}")


if __name__ == "__main__":
    main()
