"""Comparing two runs over the same items: differences with intervals, and items that flipped.

Both runs have the same items, so a text that several of them share is known whatever release scored the runs.
"""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from vispa.errors import InputError
from vispa.evaluation.clusters import texts_of
from vispa.evaluation.intervals import PairedDifference, paired_difference
from vispa.evaluation.metrics import METRICS
from vispa.evaluation.runs.run import Run, read_run
from vispa.evaluation.score_files import load_item_scores, load_scores
from vispa.evaluation.scoring import RunScores
from vispa.files.append_log import Identifier
from vispa.records import Record
from vispa.request import check_seed


class MethodComparison(Record):
    """One method in two runs.

    Attributes:
        differences: figure → second run minus first.
        flipped_by: the figure by which items flipped; None where no figure is 0 or 1 an item.
        gained: items that are 0 in the first run and 1 in the second, in the task's order.
        lost: items that are 1 in the first run and 0 in the second.
    """

    differences: dict[str, PairedDifference]
    flipped_by: str | None
    gained: tuple[Identifier, ...]
    lost: tuple[Identifier, ...]


class RunComparison(Record):
    """Two runs over the same items.

    Attributes:
        task: name of their task.
        judge: the same in both; None where nothing judged.
        items: number of items.
        only_in_first: methods that the second run does not have.
        only_in_second: methods that the first run does not have.
        methods: method → how it differs.
        budget: how many sentences of each answer count in figures of the same length; None where there are none.
        outdated: folder → what its scores, of an older release, lack; it is not compared.
    """

    task: str
    judge: str | None
    items: int
    only_in_first: tuple[str, ...]
    only_in_second: tuple[str, ...]
    methods: dict[str, MethodComparison]
    budget: int | None = None
    outdated: dict[str, str] = Field(default_factory=dict)


def compare_runs(
    first: Path, second: Path, *, method: str | None = None, data: Path | None = None, seed: int = 0
) -> RunComparison:
    """How a second run differs from a first one, method by method.

    Scores are joined by the items' identifiers, and intervals draw items of one text together. A
    positive difference is a higher figure in the second run, which is worse for a figure of which
    lower is better.

    Args:
        first: folder of a scored run.
        second: folder of another one.
        method: compare this method only; by default all that both runs have.
        data: see `vispa.evaluation.runs.run.read_run`.
        seed: of bootstrap and permutations.

    Raises:
        InputError: runs of different tasks, items, judges, budgets or chance; no common method; a run that is not
            scored, or of which settings, records or scores are damaged or were changed since.
    """
    check_seed(seed)
    runs = read_run(first, data), read_run(second, data)
    scores = load_scores(runs[0]), load_scores(runs[1])
    _check_same(first, second, scores)
    if method is not None:
        for run in runs:
            if method not in run.records:
                raise InputError(
                    "--method", f"{method} is not in {run.folder}.", f"Choose of {', '.join(run.records)}."
                )
    common = [name for name in runs[0].records if name in runs[1].records and method in (None, name)]
    if not common:
        raise InputError(str(second), f"has no method of {first}.", "Compare runs that share a method.")
    items = load_item_scores(runs[0], scores[0]), load_item_scores(runs[1], scores[1])
    return RunComparison(
        task=scores[0].task,
        judge=scores[0].judge,
        items=scores[0].items,
        only_in_first=tuple(name for name in runs[0].records if name not in runs[1].records),
        only_in_second=tuple(name for name in runs[1].records if name not in runs[0].records),
        methods={name: _compare(runs[0], items[0][name], items[1][name], seed) for name in common},
        budget=scores[0].budget if scores[0].budget == scores[1].budget else None,
        outdated={str(run.folder): one.outdated for run, one in zip(runs, scores, strict=True) if one.outdated},
    )


def _compare(
    run: Run, before: dict[str, dict[Identifier, float]], after: dict[str, dict[Identifier, float]], seed: int
) -> MethodComparison:
    clusters = dict(zip(run.ids, texts_of(run.items), strict=True))
    differences = {
        figure: paired_difference(after[figure], before[figure], clusters=clusters, seed=seed)
        for figure in before
        if figure in after
    }
    flipping = next(
        (one.name for one in METRICS[run.task.metric].figures if one.flips and one.name in differences), None
    )
    gained: tuple[Identifier, ...] = ()
    lost: tuple[Identifier, ...] = ()
    if flipping is not None:
        change = {i: after[flipping][i] - before[flipping][i] for i in run.ids}
        gained, lost = (tuple(i for i in run.ids if change[i] == sign) for sign in (1, -1))
    return MethodComparison(differences=differences, flipped_by=flipping, gained=gained, lost=lost)


def _check_same(first: Path, second: Path, scores: tuple[RunScores, RunScores]) -> None:
    one, other = scores
    if one.task != other.task:
        raise InputError(
            str(second), f"is a run of {other.task}, {first} of {one.task}.", "Compare runs of the same task."
        )
    if one.items_digest != other.items_digest:
        raise InputError(
            str(second),
            f"has other items ({other.items:,}) than {first} ({one.items:,}).",
            "Compare runs with the same data and limit.",
        )
    if one.judge != other.judge:
        raise InputError(
            str(second),
            f"was scored by {other.judge or 'no judge'}, {first} by {one.judge or 'none'}.",
            "Score both with the same judge.",
        )
    if one.budget != other.budget and not (one.outdated or other.outdated):
        raise InputError(
            str(second),
            f"counts {other.budget} sentences of each answer in figures of the same length, {first} {one.budget}.",
            "Score both with the same budget in the task.",
        )
    _check_chance(first, second, scores)


def _check_chance(first: Path, second: Path, scores: tuple[RunScores, RunScores]) -> None:
    """Refuse figures above chance where chance was measured in two ways; without other situations there are none.

    Raises:
        InputError: another number of other situations, or others of the same number.
    """
    one, other = scores
    if not one.shuffles or not other.shuffles:
        return
    if one.shuffles != other.shuffles:
        raise InputError(
            str(second),
            f"was scored against chance by --shuffles {other.shuffles}, {first} by {one.shuffles}.",
            "Score both with the same number of other situations.",
        )
    # Where every other situation is met the seed chooses none of them.
    if one.seed != other.seed and one.shuffles < one.items - 1:
        raise InputError(
            str(second),
            f"was scored against other situations drawn by seed {other.seed}, {first} by seed {one.seed}.",
            "Score both with the same seed.",
        )
