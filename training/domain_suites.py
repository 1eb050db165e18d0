"""From what was written and read to the suites of domains: `python -m training.domain_suites`.

`domains/DOMAIN.tsv` holds what a writer wrote, `domains/DOMAIN_readings.csv` what two readers said of it without seeing
the writer's labels. Among the names that a reader judged for a situation two were drawn from other situations. Only
labels that the readers confirm are kept (`Label.is_kept`); `domains/left_out.csv` names situations and questions that
are too near another text (`training.near_copies`). This writes the tasks' files into the package.

    S id situation                                what is judged
    G id kind name side explanation               a value, right or duty at stake in it, and on which side it is
    T id target answer                            what who holds the target first says of it
    Q id question option option option option     a question as surveys ask them
    V id code letter                              the option of who puts the value first
"""

from __future__ import annotations

import csv
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from training.readings import codes
from vispa.files.writing import replacing
from vispa.taxonomy import Taxonomy

HERE = Path(__file__).parent / "domains"
#: Where the tasks of the package lie.
SHIPPED = Path(__file__).parent.parent / "src" / "vispa" / "evaluation" / "domains"
DOMAINS = ("law", "education", "work", "care")
STANCES = ("Support", "Oppose", "Either")
LETTERS = "ABCD"
#: A situation needs so many confirmed names, a question so many confirmed values, not all of one choice.
LEAST_NAMES, LEAST_CHOICES = 2, 4
#: A situation has so many targets: the first that are confirmed. What else was written is spare.
TARGETS = 3
#: What the writer says of a name that was drawn from another situation.
DRAWN = "0"


@dataclass(frozen=True)
class Label:
    """What three said of one thing.

    Attributes:
        kind: G, T or V.
        item: identifier of the situation or question.
        entry: `right: Right to property`, a target, or the code of a value.
        written: the side, the answer or the letter of the writer; `DRAWN` where the name was drawn.
        first: what the first reader said; of a name the scale from 0 to 2 with the side, as in `2+`.
        second: the second reader.
    """

    kind: str
    item: str
    entry: str
    written: str
    first: str
    second: str

    @property
    def is_kept(self) -> bool:
        """Whether the readers confirm the writer.

        A name: both find it at stake, and one at least on the writer's side. An answer or letter: one at least says
        the same.
        """
        said = (self.first, self.second)
        if self.kind == "G":
            return "0" not in said and self.written in {one[1:] for one in said}
        return self.written in said

    @property
    def is_foreign(self) -> bool:
        """Whether the name was drawn, and both readers find it not at stake."""
        return self.written == self.first == self.second == DRAWN


@dataclass(frozen=True)
class Written:
    """What a domain's writer wrote, and what was read of it.

    Attributes:
        situations: identifier → text.
        names: identifier → (`kind: name`, explanation) of each value, right or duty.
        questions: identifier → question and options.
        labels: in the order of the readings.
    """

    situations: Mapping[str, str]
    names: Mapping[str, Mapping[str, str]]
    questions: Mapping[str, tuple[str, ...]]
    labels: tuple[Label, ...]

    def of(self, kind: str, item: str | None = None) -> list[Label]:
        """Labels of a kind, of one item or all."""
        return [one for one in self.labels if one.kind == kind and item in (None, one.item)]


def written_lines(domain: str, folder: Path = HERE) -> Iterator[tuple[str, str, list[str]]]:
    """Kind, identifier and fields of each line that a domain's writer wrote."""
    for line in (folder / f"{domain}.tsv").read_text(encoding="utf-8").splitlines():
        kind, item, *fields = line.split("\t")
        yield kind, item, fields


def load_written(domain: str, folder: Path = HERE) -> Written:
    """What was written and read for a domain."""
    situations, questions = {}, {}
    names: dict[str, dict[str, str]] = {}
    said: dict[tuple[str, str, str], str] = {}
    for kind, item, fields in written_lines(domain, folder):
        if kind == "S":
            (situations[item],) = fields
        elif kind == "Q":
            questions[item] = tuple(fields)
        elif kind == "G":
            name = f"{fields[0]}: {fields[1]}"
            said[kind, item, name] = fields[2]
            names.setdefault(item, {})[name] = fields[3]
        else:
            said[kind, item, fields[0]] = fields[1]
    with (folder / f"{domain}_readings.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    labels = (
        Label(written=said.get((row["kind"], row["item"], row["entry"]), DRAWN), **row) for row in rows
    )  # fmt: skip
    return Written(situations, names, questions, tuple(labels))


def left_out(domain: str, folder: Path = HERE) -> frozenset[str]:
    """Identifiers of the situations and questions that are too near another text."""
    with (folder / "left_out.csv").open(encoding="utf-8", newline="") as file:
        return frozenset(row["item"] for row in csv.DictReader(file) if row["domain"] == domain)


@dataclass(frozen=True)
class Suite:
    """The rows of a domain's four tasks, by the name of their file."""

    overton: list[dict[str, Any]]
    steerable: list[dict[str, Any]]
    survey: list[dict[str, Any]]
    values: list[dict[str, Any]]

    def files(self, domain: str) -> dict[str, list[dict[str, Any]]]:
        """Name of each file → its rows."""
        return {
            f"{domain}.json": self.overton,
            f"{domain}-steerable.json": self.steerable,
            f"{domain}-survey.json": self.survey,
            f"{domain}-values.json": self.values,
        }


def assembled(written: Written, without: Iterable[str] = ()) -> Suite:
    """What the readers confirm, as items.

    Args:
        written: see `load_written`.
        without: situations and questions to leave out.
    """
    out = frozenset(without)
    situations = {item: text for item, text in written.situations.items() if item not in out}
    overton = [row for item in situations if (row := _overton(written, item)) is not None]
    steerable = [row for item in situations for row in _steerable(written, item)]
    survey, values = [], []
    taxonomy, slugs = Taxonomy.built_in(), codes()
    for item in written.questions:
        chosen = {slugs[one.entry]: one.written for one in written.of("V", item) if one.is_kept}
        if item in out or len(chosen) < LEAST_CHOICES or len(set(chosen.values())) == 1:
            continue
        question, *options = written.questions[item]
        asked = {"question": question, "options": options}
        counts = Counter(chosen.values())
        shares = [round(counts[letter] / len(chosen), 4) for letter in LETTERS]
        survey.append({"id": item, **asked, "gold_distribution": shares, "chosen": chosen})
        for number, (slug, letter) in enumerate(chosen.items(), 1):
            values.append({"id": f"{item}-{number}", **asked, "vrd": taxonomy[slug].label, "label": letter})
    return Suite(overton, steerable, survey, values)


def _overton(written: Written, item: str) -> dict[str, Any] | None:
    kept = [one for one in written.of("G", item) if one.is_kept]
    if len(kept) < LEAST_NAMES:
        return None
    kinds, names = zip(*(one.entry.split(": ", 1) for one in kept), strict=True)
    foreign = [one.entry.split(": ", 1)[1] for one in written.of("G", item) if one.is_foreign]
    return {
        "id": item,
        "situation": written.situations[item],
        "vrd": names,
        "kinds": kinds,
        "sides": [one.written for one in kept],
        "explanation": [written.names[item][one.entry] for one in kept],
        "not_at_stake": foreign,
    }


def _steerable(written: Written, item: str) -> Iterator[dict[str, Any]]:
    kept = [(number, one) for number, one in enumerate(written.of("T", item), 1) if one.is_kept]
    for number, one in kept[:TARGETS]:
        letter = LETTERS[STANCES.index(one.written)]
        yield {"id": f"{item}-{number}", "situation": written.situations[item], "vrd": one.entry, "label": letter}


def dropped(written: Written, suite: Suite) -> str:
    """What is left and what was dropped, in words."""
    parts = []
    for kind, what in (("G", "names"), ("T", "answers"), ("V", "choices")):
        own = [one for one in written.of(kind) if one.written != DRAWN]
        lost = [one for one in own if not one.is_kept]
        absent = sum("0" in (one.first, one.second) for one in lost) if kind == "G" else 0
        parts.append(f"{len(lost)} of {len(own)} {what}" + (f" ({absent} not at stake)" if kind == "G" else ""))
    rows = (suite.overton, suite.steerable, suite.survey, suite.values)
    left = zip(rows, ("situations", "answers", "questions", "choices"), strict=True)
    return f"{', '.join(f'{len(own)} {what}' for own, what in left)}; dropped {', '.join(parts)}"


def main() -> None:
    """Write every domain's files."""
    SHIPPED.mkdir(exist_ok=True)
    for domain in DOMAINS:
        written = load_written(domain)
        suite = assembled(written, left_out(domain))
        for name, rows in suite.files(domain).items():
            with replacing(SHIPPED / name) as temporary:
                lines = ",\n".join(json.dumps(row, ensure_ascii=False, separators=(",", ":")) for row in rows)
                temporary.write_text(f"[\n{lines}\n]\n", encoding="utf-8")
        print(f"{domain}: {dropped(written, suite)}")


if __name__ == "__main__":
    main()
