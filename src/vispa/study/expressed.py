"""Which values a recipe expresses in comments, and at what cost: the part of a study for real models."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from vispa.generation.rows import Sampling
from vispa.generation.transformers import TransformersEngine
from vispa.models.loading import LoadedModel
from vispa.steering.bank import VectorBank
from vispa.steering.fitting import Progress
from vispa.steering.recipe import Recipe
from vispa.study.expression import Expression, Situation, measure_expressions
from vispa.study.taxonomy_judge import TaxonomyJudge

#: Longest comment.
TOKENS = 32
#: Figures of all comments together, in the order in which they are shown; see `Expression.scores`.
FIGURES = (
    "hit", "rank", "promotes", "topic", "nll", "repetition", "similarity", "leakage", "relation", "fluency",
    "harmonic_mean",
)  # fmt: skip
#: Measures of a single comment.
MEASURES = ("hit", "rank", "promotes", "topic", "nll", "repetition")


@dataclass(frozen=True)
class Expressed:
    """Comments of a steered model beside those of the unsteered one.

    Attributes:
        judge: who measured them.
        situations: what was commented on.
        plain: measures of the unsteered model.
        steered: measures of the steered one.
    """

    judge: TaxonomyJudge
    situations: tuple[str, ...]
    plain: Expression
    steered: Expression

    @property
    def sides(self) -> dict[str, Expression]:
        """Both by name, the unsteered one first."""
        return {"unsteered": self.plain, "steered": self.steered}

    def overall(self) -> dict[str, dict[str, float]]:
        """Means over situations of each figure (see `Expression.scores`) and the leakage, for either side."""
        return {
            name: {figure: float(np.mean(each)) for figure, each in side.scores(self.plain).items()}
            | {"leakage": side.leakage(self.plain)}
            for name, side in self.sides.items()
        }

    def by_value(self) -> list[dict[str, Any]]:
        """The steered comments' measures, a row for each value, and the other value that becomes likeliest."""
        means, change = self.steered.by_value(), self.steered.change(self.plain)
        rows: list[dict[str, Any]] = []
        for place, value in enumerate(self.steered.values):
            row: dict[str, Any] = {"value": value}
            row |= {measure: float(means[measure][place]) for measure in MEASURES}
            others = np.where(np.arange(len(change)) == place, -np.inf, change[place])
            strongest = int(others.argmax())
            row["leaks_to"], row["change"] = self.steered.values[strongest], float(others[strongest])
            rows.append(row)
        return rows

    def comments(self) -> Iterator[dict[str, Any]]:
        """Every comment with its measures."""
        for name, side in self.sides.items():
            for place, situation in enumerate(self.situations):
                for number, value in enumerate(side.values):
                    row: dict[str, Any] = {"steering": name, "situation": situation, "value": value}
                    row |= {measure: float(getattr(side, measure)[place, number]) for measure in MEASURES}
                    yield {**row, "text": side.texts[place][number]}


def expressed(
    loaded: LoadedModel,
    bank: VectorBank,
    judge: TaxonomyJudge,
    situations: Sequence[Situation],
    *,
    recipe: Recipe,
    progress: Progress | None = None,
) -> Expressed:
    """Comment on every situation for every value of a bank, steered and not, and measure the comments.

    Args:
        loaded: the model.
        bank: of V values.
        judge: of the same values.
        situations: at least one.
        recipe: how to steer.
        progress: told of progress.

    Raises:
        InputError: no situation; or an estimator, block or value that bank or judge does not have.
        NumericalError: a logit, activation or shift is not finite.
        ContextError: a prompt and its comment are longer than the model's context.
    """
    total = len(situations) * (len(bank.info.values) + 1)

    def done(count: int) -> None:
        if progress is not None:
            progress("writing comments", count, total)

    plain, steered = measure_expressions(
        TransformersEngine(loaded, bank, recipe),
        judge.judge,
        situations,
        bank.info.values,
        (None, recipe),
        sampling=Sampling(TOKENS),
        progress=done,
    )
    return Expressed(judge, tuple(one.text for one in situations), plain, steered)
