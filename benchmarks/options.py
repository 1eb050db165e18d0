"""How well each option reading reads a model: plain questions, known stances, and the items of a folder of data sets.

    python -m benchmarks.options --model smollm2 --data DIR --limit 200

*Plain questions* have one right answer. Each is put in every cyclic order of its options and of its options reversed;
it moves where two orders are answered differently. *Known stances* are comments that plainly support, oppose or do
neither. Of *data sets* the question is put alone, without comments: how often each letter is the likeliest against how
often it is in the gold (total variation), and the Jensen-Shannon distance to the gold with a 95 % bootstrap interval.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from vispa.evaluation.intervals import bootstrap_mean
from vispa.evaluation.methods.prompts import method_prompts
from vispa.evaluation.methods.vanilla import plain_question
from vispa.evaluation.metrics.distribution import jensen_shannon_distances
from vispa.evaluation.tasks import available, load_task
from vispa.files.tables import read_table
from vispa.generation.transformers import TransformersEngine
from vispa.items.asking import item_case
from vispa.items.item import Item
from vispa.models.loading import load_model
from vispa.modes.prompts import Prompts, built_in_prompts
from vispa.modes.questions import lettered
from vispa.modes.readings import Reading, read_options
from vispa.modes.repeats import bundled_encode
from vispa.modes.stances import AskedStances, StanceReader
from vispa.modes.statements import StatementStances
from vispa.modes.templates import filled
from vispa.readers.base import Distribution, Failure, Progress
from vispa.readers.local import LocalChat
from vispa.readers.option_readings.cyclic import cyclic_orders
from vispa.request import OPTION_READINGS, OptionReadingName

_DATA = Path(__file__).parent / "data"
_Scores = npt.NDArray[np.float64]


class Remembering(LocalChat):
    """A reader that weighs a prompt once: orders of a question meet again in other readings."""

    def __init__(self, engine: TransformersEngine) -> None:
        super().__init__(engine)
        self._letters: dict[tuple[str, int, float | None], Distribution | Failure] = {}
        self._words: dict[tuple[str, tuple[str, ...]], _Scores | Failure] = {}

    def option_probabilities(
        self,
        prompts: Sequence[str],
        counts: Sequence[int],
        *,
        progress: Progress | None = None,
        least: float | None = None,
    ) -> list[Distribution | Failure]:
        """See `LocalChat.option_probabilities`."""
        keys = [(prompt, count, least) for prompt, count in zip(prompts, counts, strict=True)]
        new = [key for key in dict.fromkeys(keys) if key not in self._letters]
        found = super().option_probabilities([key[0] for key in new], [key[1] for key in new], least=least)
        self._letters.update(zip(new, found, strict=True))
        return [self._letters[key] for key in keys]

    def likelihoods(self, prompts: Sequence[str], continuations: Sequence[Sequence[str]]) -> list[_Scores | Failure]:
        """See `LocalChat.likelihoods`."""
        keys = [(prompt, tuple(sorted(texts))) for prompt, texts in zip(prompts, continuations, strict=True)]
        new = [key for key in dict.fromkeys(keys) if key not in self._words]
        found = super().likelihoods([key[0] for key in new], [key[1] for key in new])
        self._words.update(zip(new, found, strict=True))
        results: list[_Scores | Failure] = []
        for key, texts in zip(keys, continuations, strict=True):
            own = self._words[key]
            results.append(own if isinstance(own, Failure) else own[[key[1].index(text) for text in texts]])
        return results


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


def known_stances(reader: StanceReader, rows: Sequence[dict[str, str]]) -> tuple[float, float]:
    """Share of comments whose stance is told, and the share of these that is right."""
    found = reader.read([row["situation"] for row in rows], [row["comment"] for row in rows])
    told = [max(one, key=lambda s: one[s]) == row["stance"] for one, row in zip(found, rows, strict=True) if one]
    return len(told) / len(rows), float(np.mean(told)) if told else 0.0


class OfItems(NamedTuple):
    """Letters against gold, distances to gold, and the share of items that could not be read."""

    total_variation: float
    distances: _Scores
    unread: float


def data_set(reader: LocalChat, items: Sequence[Item], prompts: Prompts) -> OfItems:
    """Of items with a gold distribution, put as plain questions; what cannot be read is left out."""
    asked = [plain_question(item, prompts, method_prompts()) for item in items]
    found = read_options(reader, asked, [item_case(item).options for item in items], prompts, decided=False)
    read = [
        (np.asarray(item.gold_distribution), one.distribution)
        for item, one in zip(items, found, strict=True)
        if isinstance(one, Reading)
    ]
    width = max((len(gold) for gold, _ in read), default=1)
    use = [np.bincount([int(pair[side].argmax()) for pair in read], minlength=width) for side in range(2)]
    apart = abs(use[0] - use[1]).sum() / 2 / max(1, len(read))
    return OfItems(
        float(apart),
        jensen_shannon_distances([gold for gold, _ in read], [own for _, own in read]),
        1 - len(read) / len(items),
    )


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="smollm2")
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("--threads", type=int)
    parser.add_argument("--readings", default=",".join(OPTION_READINGS), help="of these only, separated by commas")
    parser.add_argument("--only", choices=("plain", "stances", "data"), help="one of the tables")
    parser.add_argument("--data", type=Path, help="folder of the data sets")
    parser.add_argument("--limit", type=int, default=200, help="items of each file, and plain questions at most")
    arguments = parser.parse_args()
    reader = Remembering(
        TransformersEngine(load_model(arguments.model, dtype=arguments.dtype, threads=arguments.threads))
    )
    prompts = built_in_prompts(arguments.model)
    for name in arguments.readings.split(","):
        reader.option_reading = _checked(name)
        if arguments.only in (None, "plain"):
            _tell(
                "plain questions",
                name,
                *_shares(plain_questions(reader, _rows("plain_questions")[: arguments.limit], prompts)),
            )
        if arguments.only in (None, "stances"):
            stances = known_stances(AskedStances(reader, prompts), _rows("known_stances"))
            _tell("stances", name, f"told {stances[0]:.2f}", f"right of these {stances[1]:.2f}")
        if arguments.data and arguments.only in (None, "data"):
            _tell_data(reader, name, arguments.data, arguments.limit, prompts)
    if arguments.only in (None, "stances"):
        told, right = known_stances(StatementStances(bundled_encode), _rows("known_stances"))
        _tell("stances", "statements", f"told {told:.2f}", f"right of these {right:.2f}")


def _tell_data(reader: LocalChat, name: str, folder: Path, limit: int, prompts: Prompts) -> None:
    for status in available(folder):
        if status.path is None or status.task.mode == "overton":
            continue
        loaded = load_task(status.task.name, folder).items
        items = [item for item in loaded if item.gold_distribution is not None][:limit]
        if not items:
            continue
        started = time.perf_counter()
        found = data_set(reader, items, prompts)
        mean = bootstrap_mean(found.distances)
        _tell(
            status.task.name,
            name,
            f"items {len(items)}",
            f"letters against gold {found.total_variation:.2f}",
            f"Jensen-Shannon distance {mean.estimate:.3f} [{mean.low:.3f}, {mean.high:.3f}]",
            f"unread {found.unread:.2f}",
            f"{time.perf_counter() - started:.0f} s",
        )


def _checked(name: str) -> OptionReadingName:
    if name not in OPTION_READINGS:
        raise SystemExit(f"{name}: no option reading. Choose of {', '.join(OPTION_READINGS)}.")
    return name


def _shares(found: Plain) -> list[str]:
    return [f"{name} {share:.2f}" for name, share in found._asdict().items()]


def _rows(name: str) -> list[dict[str, str]]:
    return [row.fields for row in read_table(_DATA / f"{name}.csv").rows]


def _tell(*parts: str) -> None:
    print("  ".join(parts), flush=True)


if __name__ == "__main__":
    main()
