"""Agreement of chosen options with gold labels: accuracy and F1, with unreadable answers counted."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from vispa.errors import InputError
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
    kept = (gold != _EITHER) & (predicted != _EITHER)
    return gold[kept], predicted[kept]


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
