"""The search for a model's recipe: blocks, then strengths, then refined directions, each round on fewer candidates.

Rounds are the same for the same model, seed and budget; the clock only says which begin. Each is one batch of comments.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

from vispa.steering.bank_parts import REFINED
from vispa.steering.fitting import Progress
from vispa.steering.recipe import Recipe, portable_recipe
from vispa.study.expression import mean_said, relation
from vispa.tuning.clock import Clock
from vispa.tuning.examples import Example, chosen_examples
from vispa.tuning.refining import fixed_vectors, refined_vectors, unrefined, with_refined
from vispa.tuning.trials import Bench, Trial

#: Directions that the search begins with.
ESTIMATOR = "one_versus_others_sink_free"

# All blocks together are shifted by about that share of the residual norm: shifts of neighbouring blocks add up.
_TOTAL = 0.28
_SCREENING = 0.25
# At the tokens of the situation half of the shift: what is said of it keeps to it better, at the same expression.
_SHARE = 0.5
# A shift that fades leaves the end of a comment to the situation, at the same expression.
_HALF_LIFE = 21.0
_CENTRES, _APART = 2, 0.12
# A second depth is tried where it promises at least half as much as the first.
_PROMISING = 0.5
_STRENGTHS = (0.8, 1.0, 1.25)
# Beside words that ask for the value, a share of the strength is enough.
_BESIDE_WORDS = 0.5
_EPOCHS, _EXAMPLES = 4, 8
_REFINED_STRENGTHS = (0.9, 1.15, 1.4, 1.7)
# Harmonic means that so few situations do not tell apart.
ALIKE = 0.02
# Which of the situations each round is measured on; what is refined is measured on others than it was refined on.
_SCREENED, _RUN, _WEIGHED, _LEARNT, FINAL = slice(0, 2), slice(2, 5), slice(5, 9), slice(13, 29), slice(29, 37)
# The most that the last round compares: refined, with a strength for each value, fitted, and two that it is given.
_FINALISTS = 5
# As progress and reasons call it.
_REFINING = "refining directions"


@dataclass
class Search:
    """A search under way.

    Attributes:
        bench: what trials share; its engine's bank gains the refined directions.
        clock: when it has to end.
        seed: of the order in which examples are seen.
        progress: told of progress.
        standing: one of the finalists, which is chosen unless another is clearly better; None where the best is.
        trials: all that were measured, as (round, trial).
        reasons: what was decided and why, in words.
    """

    bench: Bench
    clock: Clock
    seed: int = 0
    progress: Progress | None = None
    standing: Recipe | None = None
    trials: list[tuple[str, Trial]] = field(default_factory=list)
    reasons: list[str] = field(default_factory=list)

    def run(self, others: Sequence[Recipe]) -> Trial:
        """The best recipe for the bench's model, on situations that no earlier round saw.

        Args:
            others: recipes that it must beat, such as the portable one; the best of them is all there is where the time
                does not suffice for a search.
        """
        best = self._strength(self._windows(self._screen()))
        if best is None:
            return self._final(others)
        finalists = [best.recipe, *others]
        refined = self._refine(best)
        if refined is not None:
            by_value = self._by_value(refined)
            # What they were refined from stays in the running: few comments, or poor ones, teach little.
            finalists = [refined.recipe, *([by_value] if by_value else []), *finalists]
        return self._final(finalists)

    # ---------------------------------------------------------------- rounds

    def _screen(self) -> list[int]:
        """The blocks around which steering does best, a few at depths of their own; none where there is no time."""
        count = len(self.bench.engine.loaded.blocks)
        # A dozen at most; the very last have no block after them to say what was added.
        blocks = range(0, max(1, count - 2), max(1, round(count / 12)))
        recipes = [_recipe((block,), _SCREENING) for block in blocks]
        found = self._round("screening blocks", recipes, _SCREENED, every=2)
        if not found:
            return []
        # Above chance: a block that changes nothing costs nothing.
        heard = [max(0.0, 2.0 * one.figures["rank"] - 1.0) for one in found]
        kept = [one.figures["relation"] * one.figures["fluency"] for one in found]
        scores = np.array(heard) * np.array(kept)
        smooth = np.convolve(np.pad(scores, 1, mode="edge"), [0.25, 0.5, 0.25], mode="valid")
        centres: list[int] = []
        for place in np.argsort(-smooth, kind="stable"):
            # A few comments a block say roughly where; the next round says which.
            apart = all(abs(blocks[place] - other) >= _APART * count for other in centres)
            if len(centres) < _CENTRES and apart and smooth[place] >= _PROMISING * smooth.max():
                centres.append(blocks[place])
        around = f"blocks around {', '.join(map(str, centres))}"
        most = f"{around} give most" if scores.any() else f"no block gives anything; {around} are tried"
        self.reasons.append(f"Steered alone, {most}.")
        return centres

    def _windows(self, centres: Sequence[int]) -> list[Trial]:
        """Runs of blocks around the centres, and that of the portable recipe; the best first."""
        if not centres:
            return []
        count = len(self.bench.engine.loaded.blocks)
        widths = dict.fromkeys(max(1, round(share * count)) for share in (0.0, 0.1, 0.25))
        around = [_window(centre, width, count) for centre in centres for width in widths]
        runs = dict.fromkeys([portable_recipe().chosen_blocks(count), *around])
        recipes = [_recipe(run, _fraction(run)) for run in runs]
        return sorted(self._round("runs of blocks", recipes, _RUN, every=2), key=lambda one: -one.score)

    def _strength(self, found: list[Trial]) -> Trial | None:
        """The best of the best few runs at several strengths; None where no run was measured."""
        recipes = [
            replace(one.recipe, amount=round(one.recipe.amount * strength, 5))
            for one in found[:2]
            for strength in _STRENGTHS
        ]
        measured = self._round("strengths", recipes, _WEIGHED, every=2)
        best = _best(measured or found)
        if best is None:
            return None
        self.reasons.append(f"Of fitted directions, {describe(best.recipe)} do best (harmonic mean {best.score:.3f}).")
        return best

    def _refine(self, best: Trial) -> Trial | None:
        """Refined directions at the best of several strengths; None where there is no time, or nothing was learnt.

        Once: comments of refined directions, learnt from in their turn, gave directions that were less fluent.
        """
        engine, bank = self.bench.engine, self.bench.engine.bank
        assert bank is not None
        if not self._has_time(self._learnt_from + self._weighed):
            self._say_late(_REFINING)
            return None
        # A little too strong: more comments speak for their value, and the best of them are chosen.
        recipe = replace(best.recipe, amount=best.recipe.amount * 1.1)
        blocks = recipe.chosen_blocks(len(engine.loaded.blocks))
        examples = self._examples(recipe)
        if not examples:
            self.reasons.append("No steered comment was good enough to learn from.")
            return None
        start, told = fixed_vectors(bank, recipe), self._counted(_REFINING, len(examples) * _EPOCHS)
        seen: list[int] = []

        def learnt(count: int) -> None:
            seen.append(count)
            if told is not None:
                told(count)

        vectors = refined_vectors(
            engine.loaded, start, blocks, examples,
            epochs=_EPOCHS, subject_share=recipe.subject_share, remains=recipe.remains, seed=self.seed,
            deadline=self.clock.latest(self._weighed + self._last), progress=learnt,
        )  # fmt: skip
        if not seen:
            # Writing the examples took what there was of the time: no batch of them began.
            self._say_late(_REFINING)
            return None
        if problem := unrefined(start, vectors, examples):
            self.reasons.append(
                f"Directions were not refined on {len(examples)} of the model's own comments: {problem}."
            )
            return None
        engine.bank = with_refined(bank, vectors, recipe)
        refined = replace(recipe, estimator=REFINED, blocks=blocks, magnitude="coefficient")
        self.reasons.append(f"Directions were refined on {len(examples)} of the model's own comments.")
        recipes = [replace(refined, amount=amount) for amount in _REFINED_STRENGTHS]
        return _best(self._round("refined strengths", recipes, _WEIGHED))

    def _examples(self, recipe: Recipe) -> list[Example]:
        """The best comments of the model steered, asked in words, and both at once, but steered less."""
        situations = self.bench.situations[_LEARNT]
        counted = self._counted("comments to learn from", self._learnt_from)
        less = replace(recipe, amount=recipe.amount * _BESIDE_WORDS)
        with self.clock.measuring(self._learnt_from):
            plain, steered = self.bench.measure((None, recipe), _LEARNT, counted)
            asked = self.bench.measure_personas((None, less), _LEARNT, counted)
        return chosen_examples((steered, *asked), plain, situations, _EXAMPLES)

    def _by_value(self, best: Trial) -> Recipe | None:
        """The recipe with a strength for each value, where the trials of that round speak clearly for another one."""
        tried = [one for stage, one in self.trials if stage == "refined strengths"]
        if len(tried) < 2:
            return None
        grid = np.stack([_value_scores(one) for one in tried])
        own = tried.index(best)
        better = grid.argmax(0)
        amounts = {
            value: tried[place].recipe.amount
            for column, (value, place) in enumerate(zip(self.bench.values, better, strict=True))
            if grid[place, column] > grid[own, column] + 0.05
        }
        return replace(best.recipe, amounts=amounts) if amounts else None

    def _final(self, recipes: Sequence[Recipe]) -> Trial:
        """The best of the finalists on situations that nothing was chosen on; see `standing`."""
        found = self._round("finalists", recipes, FINAL, whatever=True)
        best = _chosen(found, self.standing)
        for one in found:
            label = "chosen" if one is best else "rejected"
            self.reasons.append(f"Final, {label}: {describe(one.recipe)}: harmonic mean {one.score:.3f}.")
        return best

    # ---------------------------------------------------------------- helpers

    @property
    def _last(self) -> int:
        """Comments of the last round, for which time is kept."""
        return (_FINALISTS * len(self.bench.values) + 1) * len(self.bench.situations[FINAL])

    @property
    def _learnt_from(self) -> int:
        """Comments that are written to refine directions on the best of them."""
        return (3 * len(self.bench.values) + 1) * len(self.bench.situations[_LEARNT])

    @property
    def _weighed(self) -> int:
        """Comments of the round on refined directions, without which they were refined for nothing."""
        return (len(_REFINED_STRENGTHS) * len(self.bench.values) + 1) * len(self.bench.situations[_WEIGHED])

    def _has_time(self, comments: int) -> bool:
        """Whether so many can be measured before the last round."""
        return self.clock.suffices(comments + self._last)

    def _round(
        self, name: str, recipes: Iterable[Recipe], situations: slice, *, every: int = 1, whatever: bool = False
    ) -> list[Trial]:
        """Trials of a round; none where there is no time for it."""
        recipes = list(dict.fromkeys(recipes))
        bench = replace(self.bench, values=self.bench.values[::every])
        count = (len(recipes) * len(bench.values) + 1) * len(bench.situations[situations])
        if not (whatever or self._has_time(count)):
            self._say_late(name)
            return []
        with self.clock.measuring(count):
            found = bench.run(recipes, situations, self._counted(name, count))
        self.trials += [(name, one) for one in found]
        return found

    def _say_late(self, name: str) -> None:
        self.reasons.append(f"There was no time for the round on {name}.")

    def _counted(self, name: str, total: int) -> Callable[[int], None] | None:
        told = self.progress
        return None if told is None else lambda done: told(name, done, total)


def _best(trials: Sequence[Trial]) -> Trial | None:
    """Of the trials whose harmonic mean is the highest, or as good as that, the one that expresses most."""
    highest = max((one.score for one in trials), default=0.0)
    alike = [one for one in trials if one.score >= highest - ALIKE]
    return max(alike, key=lambda one: (one.figures["expression"], one.score), default=None)


def _chosen(finalists: Sequence[Trial], standing: Recipe | None) -> Trial:
    """The best of those finalists that are clearly better than the standing recipe; its own trial where none is."""
    had = next((one for one in finalists if one.recipe == standing), None)
    better = [one for one in finalists if had is None or one.score > had.score + ALIKE]
    best = _best(better) or had
    assert best is not None
    return best


def describe(recipe: Recipe) -> str:
    """A recipe in a few words."""
    where = f"depth {recipe.depth[0]:g}-{recipe.depth[1]:g}"
    if recipe.blocks:
        where = f"blocks {recipe.blocks[0]}-{recipe.blocks[-1]}"
    own = f", {len(recipe.amounts)} values of their own" if recipe.amounts else ""
    return f"{recipe.estimator}, {where}, {recipe.magnitude} {recipe.amount:g}{own}"


def _recipe(blocks: tuple[int, ...], amount: float) -> Recipe:
    return Recipe(
        ESTIMATOR,
        blocks=blocks,
        magnitude="residual",
        amount=round(amount, 5),
        subject_share=_SHARE,
        half_life=_HALF_LIFE,
        minimal_quality=0.0,
    )


def _fraction(blocks: Sequence[int]) -> float:
    """Of the residual norm, at each of so many blocks."""
    return _TOTAL / len(blocks)


def _window(centre: int, width: int, count: int) -> tuple[int, ...]:
    first = min(max(0, centre - (width - 1) // 2), max(0, count - 1 - width))
    return tuple(range(first, min(count, first + width)))


def _value_scores(one: Trial) -> npt.NDArray[np.float64]:
    """Harmonic mean of each value's rank, relation and fluency over the situations of a trial."""
    found = one.expression
    added = mean_said(found.nll, 0) - mean_said(one.plain.nll, 0)
    fluency = np.exp(-np.clip(np.nan_to_num(added, nan=np.inf), 0, None)) * (1 - found.repetition.mean(0))
    rank = np.clip(2 * found.rank.mean(0) - 1, 1e-3, 1)
    # The plain model's topic, not that of the same trial, which loses nothing beside itself.
    topic = np.clip(relation(found.topic.mean(0), one.plain.topic.mean(0)), 1e-3, 1)
    return np.asarray(3 / (1 / rank + 1 / topic + 1 / np.clip(fluency, 1e-3, 1)))
