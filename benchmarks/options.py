"""How well each option reading reads a model: plain questions, known stances, and the items of a folder of data sets.

    python -m benchmarks.options --model smollm2 --data DIR --limit 200 --keep FILE

*Plain questions* have one right answer, and so have *plain choices*, whose options are long or graded. Each is put in
every cyclic order of its options and of its options reversed; it moves where two orders are answered differently.
*Known stances* are comments that plainly support, oppose or do neither. Of *data sets* the question is put alone,
without comments and for nobody in particular, of items spread evenly over the file; `benchmarks.option_figures` says
what is measured. Letters are weighed however little they hold, so that nothing is asked in writing. What all readings
ask for a table is gathered first and read in as few passes as it takes.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from benchmarks.option_figures import Answers, nobody, told
from benchmarks.tries import Read, Tries
from vispa.evaluation.tasks import available, is_shipped, load_task
from vispa.files.append_log import AppendLog
from vispa.files.tables import read_table
from vispa.generation.transformers import TransformersEngine
from vispa.items.asking import item_case
from vispa.items.item import Item
from vispa.models.loading import load_model
from vispa.modes.prompts import Prompts, built_in_prompts
from vispa.modes.questions import lettered, option_prompt
from vispa.modes.readings import Reading, read_options
from vispa.modes.repeats import bundled_encode
from vispa.modes.stances import AskedStances, StanceReader
from vispa.modes.statements import StatementStances
from vispa.modes.templates import filled
from vispa.readers.base import Distribution, Failure, Progress
from vispa.readers.local import LocalChat
from vispa.readers.option_readings.cyclic import cyclic_orders
from vispa.readers.weighing import weighed
from vispa.request import OPTION_READINGS, OptionReadingName

_DATA = Path(__file__).parent / "data"
_Scores = npt.NDArray[np.float64]


class Remembering(LocalChat):
    """A reader that is told first what it will be asked, reads that together, and answers from memory.

    Args:
        engine: of the model.
        kept: JSON Lines file of what models made of prompts, which grows; of another model, or of this one in another
            precision, nothing is taken.

    Raises:
        InputError: the file cannot be read.
        SystemExit: it holds something else.
    """

    def __init__(self, engine: TransformersEngine, kept: Path | None = None) -> None:
        super().__init__(engine)
        self._tries, self._log = Tries(engine), None if kept is None else AppendLog(kept)
        self._asked: dict[str, set[str]] | None = None
        self._known: dict[str, Read] = {}
        self._model = {"model": engine.loaded.fingerprint, "dtype": str(engine.loaded.model.dtype)}
        if self._log is not None:
            lines = self._log.open()
            entries = [_kept_entry(line, f"{kept} line {number}") for number, line in enumerate(lines, 1)]
            self._log.cut()
            for entry in entries:
                if entry.items() >= self._model.items():
                    self._remember(entry["prompt"], entry["letters"], entry["means"])

    def learn(self, work: Callable[[], object]) -> None:
        """Read what a piece of work asks; its own results, of a model that finds everything alike, mean nothing."""
        self._asked = {}
        work()
        asked = {text: sorted(self._unknown(text, words)) for text, words in self._asked.items()}
        new = {text: words for text, words in asked.items() if words or text not in self._known}
        self._asked = None
        for text, read in self._tries.read(new):
            self._remember(text, *read)
            if self._log is not None:
                entry = self._model | {"prompt": text} | read._asdict()
                self._log.append([json.dumps(entry, ensure_ascii=False).encode() + b"\n"])

    def _unknown(self, text: str, words: set[str]) -> set[str]:
        return words - self._known[text].means.keys() if text in self._known else words

    def _remember(self, text: str, letters: list[float], means: dict[str, float]) -> None:
        before = self._known.get(text)
        self._known[text] = Read(letters, {**before.means, **means} if before else means)

    def option_probabilities(
        self,
        prompts: Sequence[str],
        counts: Sequence[int],
        *,
        progress: Progress | None = None,
        least: float | None = None,
    ) -> list[Distribution | Failure]:
        """See `LocalChat.option_probabilities`; however little the letters hold."""
        if self._asked is not None:
            self._asked.update({text: self._asked.get(text, set()) for text in prompts})
            return [np.full(count, 1 / count) for count in counts]
        masses = [self.letters_of(text, count) for text, count in zip(prompts, counts, strict=True)]
        return [weighed(one, 0.0) for one in masses]

    def letters_of(self, text: str, count: int) -> _Scores:
        """What the first letters hold of the next token's probability."""
        return np.array(self._known[text].letters[:count])

    def likelihoods(self, prompts: Sequence[str], continuations: Sequence[Sequence[str]]) -> list[_Scores | Failure]:
        """See `LocalChat.likelihoods`."""
        if self._asked is not None:
            for text, words in zip(prompts, continuations, strict=True):
                self._asked.setdefault(text, set()).update(words)
            return [np.zeros(len(words)) for words in continuations]
        return [
            np.array([self._known[text].means[word] for word in words])
            for text, words in zip(prompts, continuations, strict=True)
        ]


def _kept_entry(line: bytes, place: str) -> dict[str, Any]:
    """A line of a file of `--keep`."""
    try:
        entry = json.loads(line)
    except ValueError:
        entry = None
    if not isinstance(entry, dict) or not entry.keys() >= {"model", "dtype", "prompt", "letters", "means"}:
        raise SystemExit(f"--keep: {place} does not say what which model made of a prompt. Name another file.")
    return entry


class Plain(NamedTuple):
    """What a reading makes of plain questions, each a share: right as given, moving, not read in some order."""

    right: float
    moves: float
    unread: float


def plain_questions(reader: LocalChat, rows: Sequence[dict[str, str]], prompts: Prompts) -> Plain:
    """Of questions with their options in every cyclic order, forward and reversed."""
    asked: list[str] = []
    options: list[tuple[str, ...]] = []
    owners: list[int] = []
    for number, row in enumerate(rows):
        given = row["options"].split("|")
        for order in dict.fromkeys((*_orders(given), *_orders(given[::-1]))):
            asked.append(filled(prompts.question, question=row["question"], options=lettered(order)))
            options.append(order)
            owners.append(number)
    found = read_options(reader, asked, options, prompts)
    answers: dict[int, list[str | None]] = {}
    for owner, texts, one in zip(owners, options, found, strict=True):
        answer = texts[int(one.distribution.argmax())] if isinstance(one, Reading) else None
        answers.setdefault(owner, []).append(answer)
    return Plain(
        float(np.mean([answers[number][0] == row["answer"] for number, row in enumerate(rows)])),
        float(np.mean([len(set(own) - {None}) > 1 for own in answers.values()])),
        float(np.mean([None in own for own in answers.values()])),
    )


def _orders(options: Sequence[str]) -> Iterator[tuple[str, ...]]:
    return (tuple(options[place] for place in order) for order in cyclic_orders(len(options)))


class Stances(NamedTuple):
    """Share of comments whose stance is told, and the share of these that is right."""

    told: float
    right_of_these: float


def known_stances(reader: StanceReader, rows: Sequence[dict[str, str]]) -> Stances:
    """Of comments that plainly take a stance, or plainly none."""
    found = reader.read([row["situation"] for row in rows], [row["comment"] for row in rows])
    right = [max(one, key=lambda s: one[s]) == row["stance"] for one, row in zip(found, rows, strict=True) if one]
    return Stances(len(right) / len(rows), float(np.mean(right)) if right else 0.0)


def questions(item: Item, prompts: Prompts) -> tuple[str, tuple[str, ...]]:
    """An item's question, asked of nobody in particular, and its options."""
    case = replace(item_case(item), country=None)
    return option_prompt(case, prompts, None), case.options


def data_set(reader: LocalChat, items: Sequence[Item], prompts: Prompts) -> Answers:
    """Of items with a gold distribution; see `Answers`."""
    asked = [questions(item, prompts) for item in items]
    found = read_options(reader, [text for text, _ in asked], [own for _, own in asked], prompts, decided=False)
    return Answers.of(
        [text for text, _ in asked],
        [np.asarray(item.gold_distribution) for item in items],
        [one.distribution if isinstance(one, Reading) else None for one in found],
    )


def data_sets(folder: Path, limit: int) -> dict[str, list[Item]]:
    """Items with a gold distribution of each task in a folder, at most so many, spread evenly over the file."""
    found = {}
    for status in available(folder):
        if status.path is not None and status.task.mode != "overton" and not is_shipped(status.task):
            items = [item for item in load_task(status.task.name, folder).items if item.gold_distribution is not None]
            places = np.linspace(0, len(items) - 1, min(limit, len(items))).round().astype(int)
            found[status.task.name] = [items[place] for place in places]
    return {name: items for name, items in found.items() if items}


#: What a table says of one reading.
Found = Plain | Stances | Answers


def main() -> None:
    """Print the tables."""
    arguments = _arguments()
    loaded = load_model(arguments.model, dtype=arguments.dtype, threads=arguments.threads)
    reader, prompts = Remembering(TransformersEngine(loaded), arguments.keep), built_in_prompts(arguments.model)
    names = [_checked(name) for name in arguments.readings.split(",")]
    tables: dict[str, Callable[[], Found]] = {}
    if arguments.only in (None, "plain"):
        for file in ("plain_questions", "plain_choices"):
            rows = _rows(file)[: arguments.limit]
            tables[file.replace("_", " ")] = partial(plain_questions, reader, rows, prompts)
    if arguments.only in (None, "stances"):
        tables["stances"] = lambda: known_stances(AskedStances(reader, prompts), _rows("known_stances"))
    sets = data_sets(arguments.data, arguments.limit) if arguments.data and arguments.only in (None, "data") else {}
    for task, items in sets.items():
        tables[task] = partial(data_set, reader, items, prompts)
    for table, ask in tables.items():
        reader.learn(lambda ask=ask: list(_each(reader, names, ask)))  # type: ignore[misc]
        for name, found in _each(reader, names, ask):
            _tell(table, name, *_parts(found))
    for task, items in sets.items():
        _tell(task, "no skill, no bias", *_nobody(items))
    if "stances" in tables:
        read = known_stances(StatementStances(bundled_encode), _rows("known_stances"))
        _tell("stances", "statements", *_parts(read))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="smollm2")
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("--threads", type=int)
    parser.add_argument("--readings", default=",".join(OPTION_READINGS), help="of these only, separated by commas")
    parser.add_argument("--only", choices=("plain", "stances", "data"), help="one of the tables")
    parser.add_argument("--data", type=Path, help="folder of the data sets")
    parser.add_argument("--limit", type=int, default=200, help="items of each file, and plain questions at most")
    parser.add_argument("--keep", type=Path, help="file of what models made of prompts, used and added to")
    return parser.parse_args()


def _each(
    reader: LocalChat, names: Sequence[OptionReadingName], ask: Callable[[], Found]
) -> Iterator[tuple[str, Found]]:
    for name in names:
        reader.option_reading = name
        yield name, ask()


def _parts(found: Found) -> list[str]:
    if not isinstance(found, Answers):
        return [f"{name.replace('_', ' ')} {share:.2f}" for name, share in found._asdict().items()]
    if not found.given:
        return ["none was read"]
    figures = found.figures()
    return [
        f"items {len(found.given)} (questions {found.questions.max() + 1}), unread {found.unread:.2f}",
        f"letters against gold {told(figures.variation, 2)}, level gold shared {told(figures.shared, 2)}",
        f"likeliest agrees {told(figures.agreement, 2)}",
        f"Jensen-Shannon distance {told(figures.distance, 3)}",
    ]


def _nobody(items: Sequence[Item]) -> list[str]:
    found = nobody([np.asarray(item.gold_distribution) for item in items])
    return [
        f"letters against gold {found.variation:.2f} (95 % of such readers {found.low:.2f} to {found.high:.2f})",
        f"level gold shared {found.shared:.2f}, likeliest agrees {found.agreement:.2f}",
        f"Jensen-Shannon distance of equal shares {found.distance:.3f}",
        f"right in {found.needed:.2f} would be within 0.15",
    ]


def _checked(name: str) -> OptionReadingName:
    if name not in OPTION_READINGS:
        raise SystemExit(f"{name}: no option reading. Choose of {', '.join(OPTION_READINGS)}.")
    return name


def _rows(name: str) -> list[dict[str, str]]:
    return [row.fields for row in read_table(_DATA / f"{name}.csv").rows]


def _tell(*parts: str) -> None:
    print("  ".join(parts), flush=True)


if __name__ == "__main__":
    main()
