"""Trials: recipes measured side by side on the same situations."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from vispa.errors import InputError
from vispa.files.visible import is_blank
from vispa.generation.rows import Sampling
from vispa.generation.transformers import TransformersEngine
from vispa.steering.recipe import Recipe
from vispa.study.expression import Expression, Situation, commented, mean_said, measure_expressions
from vispa.study.personas import persona_situations
from vispa.study.value_judge import ValueJudge
from vispa.taxonomy import Taxonomy


@dataclass(frozen=True)
class Trial:
    """A recipe with what it gave on the situations of a round.

    Attributes:
        recipe: how the model was steered.
        expression: its measures.
        plain: those of the unsteered model on the same situations.
        figures: means over situations by name, NaN where no situation has one; see `Expression.scores`.
    """

    recipe: Recipe
    expression: Expression
    plain: Expression
    figures: dict[str, float]

    @property
    def score(self) -> float:
        """What recipes are chosen by: the harmonic mean of expression, relation and fluency."""
        return self.figures["harmonic_mean"]


@dataclass(frozen=True)
class Bench:
    """What all trials of a search share.

    Attributes:
        engine: the model with its bank.
        judge: of comments.
        situations: to comment on, the first ones first.
        taxonomy: of the values.
        values: slugs of the values to steer toward.
        tokens: longest comment.
    """

    engine: TransformersEngine
    judge: ValueJudge
    situations: tuple[Situation, ...]
    taxonomy: Taxonomy
    values: tuple[str, ...]
    tokens: int

    def check_words(self, situations: slice) -> None:
        """Refuse a model that has no word to compare by.

        Args:
            situations: which ones it is asked about.

        Raises:
            InputError: every comment of the unsteered model is empty.
        """
        asked, sampling = self.situations[situations], Sampling(self.tokens)
        (texts,) = commented(self.engine, asked, self.values[:1], (None,), sampling=sampling)
        if all(map(is_blank, texts)):
            problem = f"says nothing of any of {len(texts)} situations in {self.tokens} tokens, unsteered."
            raise InputError("model", problem, "Tune a model that comments at once, and does not end or think instead.")

    def run(
        self, recipes: Sequence[Recipe], situations: slice, progress: Callable[[int], None] | None = None
    ) -> list[Trial]:
        """Measure recipes on some of the situations, all in one batch.

        Args:
            recipes: N.
            situations: which ones.
            progress: called with the number of comments just generated.

        Returns:
            N trials in the order of the recipes.

        Raises:
            InputError: an estimator or block that the bank does not have.
            NumericalError: a logit, activation or shift is not finite.
        """
        plain, *found = self.measure((None, *recipes), situations, progress)
        return [trial(recipe, one, plain) for recipe, one in zip(recipes, found, strict=True)]

    def measure(
        self, recipes: Sequence[Recipe | None], situations: slice, progress: Callable[[int], None] | None = None
    ) -> list[Expression]:
        """The measures of recipes on some of the situations; see `run`."""
        return self._measured(recipes, self.situations[situations], progress)

    def measure_personas(
        self, recipes: Sequence[Recipe | None], situations: slice, progress: Callable[[int], None] | None = None
    ) -> list[Expression]:
        """The same where the model is also asked in words to hold each value."""
        texts = [one.text for one in self.situations[situations]]
        values = [self.taxonomy[value] for value in self.values]
        return self._measured(recipes, persona_situations(self.engine.loaded, values, texts), progress)

    def _measured(
        self,
        recipes: Sequence[Recipe | None],
        situations: Sequence[Situation],
        progress: Callable[[int], None] | None,
    ) -> list[Expression]:
        return measure_expressions(
            self.engine,
            self.judge,
            situations,
            self.values,
            recipes,
            sampling=Sampling(self.tokens),
            progress=progress,
        )


def trial(recipe: Recipe, expression: Expression, plain: Expression) -> Trial:
    """A recipe's measures as a trial, beside those of the plain model on the same situations."""
    scores = expression.scores(plain)
    return Trial(recipe, expression, plain, {name: float(mean_said(each, 0)) for name, each in scores.items()})
