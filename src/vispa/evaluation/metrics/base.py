"""What a metric is: how answers become scores of items, and scores figures of a method."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar, Literal

import numpy as np
import numpy.typing as npt

from vispa.evaluation.answers import answer_position
from vispa.evaluation.clusters import texts_of
from vispa.evaluation.intervals import Interval, bootstrap_mean
from vispa.evaluation.runs.folder import ItemRecord
from vispa.items.item import Item
from vispa.request import Mode

FloatArray = npt.NDArray[np.float64]
Progress = Callable[[int], None]
#: Records in the order of their items; None where an item failed or has none.
Records = Sequence[ItemRecord | None]

#: On which side of its threshold a check fires.
Side = Literal["above", "below"]


@dataclass(frozen=True)
class Figure:
    """What a metric reports under one name.

    Attributes:
        name: in `scores.json`.
        label: its name in words.
        meaning: what it is.
        span: its least and greatest value, the second infinite where it has none; None where nothing is said of it.
        better: which of two figures is better; None where neither is.
        note: what else a reader must know.
        headline: its name in drawings; only the figures that say most about a task have one.
        context: whether it stands beside the headlines in the report's first table: what they are to be read with.
        chance: name of the figure that is what chance gives for this one, drawn hollow beside it.
        flips: whether an item scores 0 or 1, so that it can flip between two runs.
    """

    name: str
    label: str
    meaning: str
    span: tuple[float, float] | None = None
    better: Literal["higher", "lower"] | None = None
    note: str = ""
    headline: str = ""
    flips: bool = False
    context: bool = False
    chance: str = ""

    @property
    def explained(self) -> str:
        """Meaning, range, direction and note, as a table of results gives them."""
        parts = [self._range, f"{self.better} is better" if self.better else ""]
        direction = ", ".join(part for part in parts if part)
        return f"{self.meaning}{f'; {direction}' if self.better else ''}{self.note}"

    @property
    def _range(self) -> str:
        if self.span is None:
            return ""
        least, greatest = (f"{end:.3g}".replace("-", "−") for end in self.span)
        return f"at least {least}" if math.isinf(self.span[1]) else f"{least} to {greatest}"

    @property
    def drawn_as(self) -> str:
        """The headline, with the direction where lower is better."""
        return f"{self.headline} (lower is better)" if self.better == "lower" else self.headline


@dataclass(frozen=True)
class CheckWords:
    """How the report writes a check's figure.

    Attributes:
        measured: what is measured.
        share: whether it is written in percent.
        decimals: of a figure that is not.
        shared_detail: whether the detail says more of the check itself, the same for all methods.
    """

    measured: str = ""
    share: bool = False
    decimals: int = 3
    shared_detail: bool = False


@dataclass(frozen=True)
class Check:
    """A sign that a method has gone wrong; see `vispa.evaluation.diagnostics.signature.Signature`."""

    name: str
    figure: float | None
    threshold: float
    side: Side
    advice: str
    detail: str = ""


@dataclass(frozen=True)
class Scoring:
    """How answers are scored; metrics heed what concerns them.

    Attributes:
        judge: see `vispa.evaluation.metrics.check_judge`.
        seed: of what is drawn.
        budget: how many sentences of an answer count in figures of the same length; None for the metric's own number.
        shuffles: against how many other situations each answer is scored too; None for as many as suit the judge.
    """

    judge: str = "none"
    seed: int = 0
    budget: int | None = None
    shuffles: int | None = None


@dataclass(frozen=True)
class Scored:
    """Scores of N items.

    Attributes:
        scores: figure → score of each item, [N]; none where nothing judged.
        judge: name of the judge; None where there was none.
        budget: of sentences, that figures of the same length have; None where there are none.
        shuffles: how many other situations each answer was scored against; None where that says nothing.
    """

    scores: dict[str, FloatArray] = field(default_factory=dict)
    judge: str | None = None
    budget: int | None = None
    shuffles: int | None = None


class Metric(ABC):
    """What a task is judged by; one file each, and one line in `METRICS`.

    Every item counts: one without a record, or whose answer cannot be read, is as wrong as can be.

    Attributes:
        name: what a task's `metric` says.
        modes: whose answers it judges.
        needs: fields that an item must have.
        figures: what it reports, in the order of the report.
        judges: kind of judge, where it needs one → what that kind reads, in words.
        check_words: its checks' names → how the report writes them.
        same_gold_advice: what to read where the gold prefers the same option in every item.
        budget: how many sentences of an answer count in its figures of the same length, unless the task says
            otherwise; None where it has no such figures.
    """

    name: ClassVar[str]
    modes: ClassVar[tuple[Mode, ...]]
    needs: ClassVar[tuple[str, ...]] = ()
    figures: ClassVar[tuple[Figure, ...]]
    judges: ClassVar[Mapping[str, str]] = {}
    check_words: ClassVar[Mapping[str, CheckWords]] = {}
    same_gold_advice: ClassVar[str] = ""
    budget: ClassVar[int | None] = None

    @abstractmethod
    def score(self, items: Sequence[Item], records: Records, how: Scoring, progress: Progress | None) -> Scored:
        """Scores of items, those of all methods of a run at once.

        Args:
            items: N items; an item occurs once for each method.
            records: the answer to each.
            how: judge, seed and what else the metric heeds.
            progress: called with the number of texts or pairs just judged.

        Raises:
            InputError: a record does not fit its item.
            ModelError: the judge cannot be loaded.
        """

    def problem(self, item: Item) -> tuple[str, str] | None:
        """What is wrong with an item that has all the fields it needs, and what to do; None if nothing is."""
        return None

    def is_readable(self, item: Item, record: ItemRecord) -> bool:
        """Whether a record without an error holds an answer that can be scored; an option by default."""
        return answer_position(record, item) is not None

    def intervals(
        self, items: Sequence[Item], records: Records, scores: Mapping[str, FloatArray], seed: int
    ) -> dict[str, Interval]:
        """One method's figures: name → figure with its interval; by default the means of its scores.

        Intervals draw items of one text together.

        Args:
            items: N items.
            records: the method's answer to each.
            scores: figure → score of each item, [N].
            seed: of the bootstrap.
        """
        return {name: bootstrap_mean(values, clusters=texts_of(items), seed=seed) for name, values in scores.items()}

    def checks(
        self, items: Sequence[Item], figures: Mapping[str, Interval], limits: Mapping[str, float]
    ) -> Iterator[Check]:
        """Signs in one method's figures that it has gone wrong; none by default.

        Args:
            items: of the run.
            figures: the method's.
            limits: figure → other threshold than the metric's own.
        """
        return iter(())

    def outdated(self, figures: Collection[str]) -> str:
        """What figures of an older release lack, in words; empty where they lack nothing, as by default.

        Args:
            figures: names of all that a run has.
        """
        return ""
