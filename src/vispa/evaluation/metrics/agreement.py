"""Agreement of chosen options with gold labels: accuracy and F1, with unreadable answers counted."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import numpy.typing as npt

from vispa.errors import InputError
from vispa.evaluation.answers import answer_position
from vispa.evaluation.clusters import texts_of
from vispa.evaluation.intervals import Interval, bootstrap_mean, bootstrap_statistic
from vispa.evaluation.metrics.base import Figure, FloatArray, Metric, Progress, Records, Scored, Scoring
from vispa.items.item import Item
from vispa.records import Record

IntArray = npt.NDArray[np.int64]

#: The three answers to whether a value speaks for a situation, in the order of their letters.
STANCES = ("Support", "Oppose", "Either")
#: Stands for an answer that cannot be read where predictions are an integer array.
UNREADABLE = -1
_EITHER = STANCES.index("Either")


class AgreementFigures(Record):
    """How well chosen options agree with gold labels.

    Attributes:
        n: number of items.
        unreadable: how many answers could not be read; each counts as wrong.
        accuracy: share of right answers.
        balanced_accuracy: mean recall over the labels that occur in the gold.
        macro_f1: mean F1 over the labels that occur in gold or answers. Unreadable answers, where
            there are any, are one more label, of F1 0: they are wrong, and so the figure is the
            one that the published script prints.
        micro_f1: F1 of all labels' hits and misses together; with one answer an item, the accuracy.
    """

    n: int
    unreadable: int
    accuracy: float
    balanced_accuracy: float
    macro_f1: float
    micro_f1: float


class StanceFigures(Record):
    """Agreement over Support, Oppose and Either, and over the first two alone.

    Attributes:
        three_way: over all items.
        binary: without the items whose gold or answer is Either; None if no item is left.
    """

    three_way: AgreementFigures
    binary: AgreementFigures | None


def agreement_figures(
    gold: Sequence[int] | IntArray, predicted: Sequence[int | None] | IntArray, labels: int = len(STANCES)
) -> AgreementFigures:
    """Accuracy, balanced accuracy, macro and micro F1.

    An answer that cannot be read is a label of its own: wrong, never dropped. The same as
    scikit-learn's functions on such answers (Modular Pluralism's evaluation, 2406.15951).

    Args:
        gold: right option of each of N items, from 0.
        predicted: chosen option of each; None or `UNREADABLE` where it cannot be read.
        labels: number of options.

    Raises:
        InputError: no item, unequal lengths, or an option outside the labels.
    """
    truth, answers = _as_numbers(gold, predicted, labels)
    answers = np.where(answers == UNREADABLE, labels, answers)
    sizes = labels + 1  # with the label of unreadable answers
    confusion = np.bincount(truth * sizes + answers, minlength=sizes * sizes).reshape(sizes, sizes)
    hits, in_gold, in_answers = confusion.diagonal(), confusion.sum(1), confusion.sum(0)
    asked, present = in_gold > 0, in_gold + in_answers > 0
    accuracy = float(hits.sum() / len(truth))
    return AgreementFigures(
        n=len(truth),
        unreadable=int(in_answers[labels]),
        accuracy=accuracy,
        balanced_accuracy=float((hits[asked] / in_gold[asked]).mean()),
        macro_f1=float((2 * hits[present] / (in_gold + in_answers)[present]).mean()),
        micro_f1=accuracy,
    )


def stance_figures(gold: Sequence[int] | IntArray, predicted: Sequence[int | None] | IntArray) -> StanceFigures:
    """The figures of Steerable ValueKaleidoscope (Modular Pluralism, 2406.15951).

    Args:
        gold: position in `STANCES` of each of N items' label.
        predicted: position of each answer; None or `UNREADABLE` where it cannot be read.

    Raises:
        InputError: see `agreement_figures`.
    """
    truth, answers = _as_numbers(gold, predicted, len(STANCES))
    binary_gold, binary = without_either(truth, answers)
    return StanceFigures(
        three_way=agreement_figures(truth, answers),
        binary=agreement_figures(binary_gold, binary, labels=2) if len(binary_gold) else None,
    )


def without_either(gold: IntArray, predicted: IntArray) -> tuple[IntArray, IntArray]:
    """The items whose gold and answer are not Either; an unreadable answer stays, as a wrong one.

    Args:
        gold: [N] positions in `STANCES`.
        predicted: [N] the same, or `UNREADABLE`.
    """
    kept = _is_binary(gold, predicted)
    return gold[kept], predicted[kept]


def _is_binary(gold: IntArray, predicted: IntArray) -> npt.NDArray[np.bool_]:
    """Whether neither gold nor answer is Either, [N]."""
    is_binary: npt.NDArray[np.bool_] = (gold != _EITHER) & (predicted != _EITHER)
    return is_binary


def _as_numbers(
    gold: Sequence[int] | IntArray, predicted: Sequence[int | None] | IntArray, labels: int
) -> tuple[IntArray, IntArray]:
    """Gold and answers as integers, [N] each; an answer that cannot be read is `UNREADABLE`."""
    if len(gold) != len(predicted):
        raise InputError("predicted", f"has {len(predicted)} answers for {len(gold)} items.", "Give one for each item.")
    if len(gold) == 0:
        raise InputError("gold", "holds no item.", "Give at least one.")
    truth = np.asarray(gold, dtype=np.int64)
    # A bootstrap comes here thousands of times with arrays: only a list is gone through for None.
    if not isinstance(predicted, np.ndarray):
        predicted = np.asarray([UNREADABLE if answer is None else answer for answer in predicted])
    answers = predicted.astype(np.int64)
    for field, numbers, least in (("gold", truth, 0), ("predicted", answers, UNREADABLE)):
        outside = np.flatnonzero((numbers < least) | (numbers >= labels))
        if outside.size:
            raise InputError(
                f"{field}[{outside[0]}]", f"is {numbers[outside[0]]}.", f"Number the options from 0 to {labels - 1}."
            )
    return truth, answers


# ---------------------------------------------------------------- the metric

_THREE_WAY = (
    Figure(
        "accuracy",
        "accuracy",
        "share of items answered with the gold option",
        span=(0, 1),
        better="higher",
        headline="accuracy",
        flips=True,
    ),
    Figure(
        "balanced_accuracy",
        "balanced accuracy",
        "mean, over the gold's options, of the share of their items answered right",
        span=(0, 1),
        better="higher",
    ),
    Figure(
        "macro_f1",
        "macro F1",
        "F1, the harmonic mean of precision and recall, averaged over the options",
        span=(0, 1),
        better="higher",
        headline="macro F1",
    ),
    Figure(
        "micro_f1",
        "micro F1",
        "F1 of all options' hits and misses together, which is the accuracy",
        span=(0, 1),
        better="higher",
    ),
)
_WITHOUT_EITHER = "without the items whose gold or answer is Either"


def _binary(figure: Figure) -> Figure:
    differing = ", which differ between methods" if figure.name == "accuracy" else ""
    return Figure(f"binary_{figure.name}", f"{figure.label}, binary", f"{_WITHOUT_EITHER}{differing}")


class Agreement(Metric):
    """Agreement of chosen options with gold labels; an item without a readable answer counts as wrong."""

    name = "agreement"
    modes = ("steerable", "distributional")
    needs = ("options", "label")
    figures = (*_THREE_WAY, *map(_binary, _THREE_WAY))

    def score(self, items: Sequence[Item], records: Records, how: Scoring, progress: Progress | None) -> Scored:
        """Whether each item is answered with its gold option."""
        return Scored({"accuracy": (_gold(items) == _chosen(items, records)).astype(float)})

    def intervals(
        self, items: Sequence[Item], records: Records, scores: Mapping[str, FloatArray], seed: int
    ) -> dict[str, Interval]:
        """Accuracy and F1; where all items ask for a stance also without Either."""
        gold, predicted, texts = _gold(items), _chosen(items, records), texts_of(items)
        figures = _intervals(gold, predicted, texts, max(len(item.options) for item in items), seed)
        if all(item.options == STANCES for item in items):
            kept = _is_binary(gold, predicted)
            if kept.any():
                texts = [text for text, is_kept in zip(texts, kept, strict=True) if is_kept]
                binary = _intervals(gold[kept], predicted[kept], texts, len(STANCES) - 1, seed)
                figures |= {f"binary_{name}": figure for name, figure in binary.items()}
        return figures


def _gold(items: Sequence[Item]) -> IntArray:
    """[N] the right option of each item."""
    return np.array([item.label for item in items], dtype=np.int64)


def _chosen(items: Sequence[Item], records: Records) -> IntArray:
    """[N] the chosen option of each item, `UNREADABLE` where there is none."""
    positions = [
        None if record is None else answer_position(record, item) for item, record in zip(items, records, strict=True)
    ]
    return np.array([UNREADABLE if position is None else position for position in positions], dtype=np.int64)


def _intervals(
    gold: IntArray, predicted: IntArray, texts: Sequence[str], labels: int, seed: int
) -> dict[str, Interval]:
    """Figures of N items; those of one text are drawn together."""
    # All figures depend on how often each pair of gold and answer occurs; every name draws the
    # same resamples, so each of them is worked out once.
    known: dict[bytes, AgreementFigures] = {}

    def figures(truth: IntArray, answers: IntArray) -> AgreementFigures:
        pairs = np.bincount(truth * (labels + 1) + answers + 1, minlength=labels * (labels + 1)).tobytes()
        if pairs not in known:
            known[pairs] = agreement_figures(truth, answers, labels)
        return known[pairs]

    def statistic(name: str) -> Callable[[IntArray, IntArray], float]:
        return lambda truth, answers: float(getattr(figures(truth, answers), name))

    names = ("balanced_accuracy", "macro_f1", "micro_f1")
    return {"accuracy": bootstrap_mean((gold == predicted).astype(float), clusters=texts, seed=seed)} | {
        name: bootstrap_statistic(statistic(name), gold, predicted, clusters=texts, seed=seed) for name in names
    }
