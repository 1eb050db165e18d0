"""The report of a study: all ways with their figures, costs, and what they answer."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any

from benchmarks.fine_tuning.directions import vector_bytes
from benchmarks.fine_tuning.figures import ahead_from, difference_at_equal_fluency, paired, reached
from benchmarks.fine_tuning.lessons import KINDS
from benchmarks.fine_tuning.study import Study, Training, by_situation
from benchmarks.fine_tuning.writing import Way
from benchmarks.real_model import figures_of
from vispa.steering.fitting import fitted_recipe
from vispa.steering.named_recipes import is_tuned
from vispa.steering.recipe import Recipe
from vispa.study.expression import Expression
from vispa.versions import versions

#: Shares of adapters and vectors when both take part.
_TOGETHER = ((1.0, 0.5), (0.5, 0.5))


class Reporting:
    """Goes through the ways of a study, and writes down what each gives.

    Args:
        study: whose ways.
        finished: called with the report after each way.
    """

    def __init__(self, study: Study, finished: Callable[[Mapping[str, Any]], None]) -> None:
        self._study, self._finished = study, finished
        self._plain = study.plain()
        self._found: dict[str, Expression] = {}
        self.report: dict[str, Any] = {
            "model": study.loaded.name,
            "versions": versions("peft"),
            "seed": 0,
            "values": list(study.values),
            "situations": len(study.texts["held out"]),
            "sizes": asdict(study.sizes),
            "recipe": dict(study.bank.recipe.as_mapping()),
            "tuned": is_tuned(study.bank),
            "lessons": {},
            "chosen": {},
            "rows": {},
            "pairs": {},
            "answers": {},
        }

    def run(self) -> Mapping[str, Any]:
        """All ways, in the order of the table."""
        study = self._study
        self._row("unsteered", "not steered", self._plain)
        self._row("persona", "persona prompt", study.measure(Way(personas=True)))
        for strength in study.sizes.strengths:
            name = "vectors" if strength == 1.0 else f"vectors {strength:g}"
            recipe = "tuned recipe" if self.report["tuned"] else "portable recipe"
            words = recipe if strength == 1.0 else f"{recipe}, {strength:g} of its strength"
            self._row(name, words, study.measure(Way(vectors=strength)), **self._vector_cost(study.bank.recipe))
        for kind in KINDS:
            self._adapters(kind)
        self._together()
        self._by_pairs()
        self._answers()
        return self.report

    def _row(self, name: str, words: str, found: Expression, **more: Any) -> None:
        self._found[name] = found
        figures = {
            figure: None if one is None else one.model_dump() for figure, one in figures_of(found, self._plain).items()
        }
        examples = dict(zip(found.values, found.texts[0], strict=True))
        self.report["rows"][name] = {"words": words, "figures": figures, "examples": examples, **more}
        self._finished(self.report)

    def _adapters(self, kind: str) -> None:
        """Adapters trained on all lessons of a kind."""
        study, most = self._study, max(self._study.sizes.pairs)
        counts = [len(own) for own in study.lessons_of(kind, most)]
        self.report["lessons"][kind] = counts
        if not any(counts):
            return
        training = self._chosen(kind, most)
        found = study.measure(Way(adapters=1.0), training)
        self._row(f"adapters {kind}", f"adapters: {KINDS[kind]}", found, **self._cost(training))

    def _chosen(self, kind: str, most: int, rank: int | None = None) -> Training:
        training = self._study.chosen(kind, most, rank)
        self.report["chosen"][f"{kind} {most}"] = {"rank": training.rank, "steps": training.steps}
        return training

    def _cost(self, training: Training) -> dict[str, Any]:
        """Bytes, processor seconds and lessons of one value's adapter, on average."""
        study = self._study
        counts = [len(own) for own in study.lessons_of(training.kind, training.most)]
        parameters = sum(training.rank * (one.in_features + one.out_features) for one in study.adapted_layers.values())
        return {
            "rank": training.rank, "steps": training.steps, "lessons": sum(counts) / len(counts),
            "seconds": study.training_seconds(training) / len(counts), "bytes": 4 * parameters * len(counts),
        }  # fmt: skip

    def _vector_cost(self, recipe: Recipe, pairs: int | None = None) -> dict[str, Any]:
        """Bytes of all vectors; processor seconds and pairs a value where they are fitted on pairs alone."""
        study = self._study
        found: dict[str, Any] = {"bytes": vector_bytes(study.bank, recipe, study.values)}
        if recipe == fitted_recipe(study.bank.recipe):
            read = pairs or max(study.sizes.pairs)
            found |= {"lessons": read, "seconds": study.fitting_seconds() * read / len(study.taxonomy)}
        return found

    def _together(self) -> None:
        """Adapters and vectors at once: the adapters with the highest harmonic mean on development situations."""
        study = self._study
        names = [name for name in self._found if name.startswith("adapters ")]
        most = max(study.sizes.pairs)
        trainings = {name: self._training(name.removeprefix("adapters "), most) for name in names}
        plain = study.plain("development")
        scores = {
            name: study.measure(Way(adapters=1.0), one, on="development").scores(plain)["harmonic_mean"].mean()
            for name, one in trainings.items()
        }
        best = max(scores, key=lambda name: scores[name])
        self.report["together"] = best
        for adapters, vectors in _TOGETHER:
            found = study.measure(Way(adapters, vectors), trainings[best])
            words = f"{adapters:g} × those adapters ({best.removeprefix('adapters ')}) and {vectors:g} × the vectors"
            self._row(f"together {adapters:g} {vectors:g}", words, found)

    def _training(self, kind: str, most: int) -> Training:
        return Training(kind, most, **self.report["chosen"][f"{kind} {most}"])

    def _by_pairs(self) -> None:
        """Vectors fitted, and adapters trained, on as many pairs; and on as many comments."""
        study = self._study
        recipe, largest = fitted_recipe(study.bank.recipe), max(study.sizes.pairs)
        self.report["fitted_recipe"] = dict(recipe.as_mapping())
        for size in study.sizes.pairs:
            own: dict[str, Any] = {}
            self.report["pairs"][str(size)] = own
            found = study.measure(Way(vectors=1.0), pairs=size, recipe=recipe)
            self._row(f"vectors of {size}", f"vectors, {size} pairs", found, **self._vector_cost(recipe, size))
            for kind in [kind for kind in KINDS if any(self.report["lessons"][kind])]:
                fewer = [min(size, count) for count in self.report["lessons"][kind]]
                own[kind] = sum(fewer) / len(fewer)
                # No more lessons than at the size before: nothing new.
                if size != largest and max(self.report["lessons"][kind]) > size:
                    training = self._chosen(kind, size, self.report["chosen"][f"{kind} {largest}"]["rank"])
                    found = study.measure(Way(adapters=1.0), training)
                    words = f"adapters, {size} of {kind}"
                    self._row(f"adapters {kind} of {size}", words, found, **self._cost(training))

    def _answers(self) -> None:
        """The two questions: equal fluency, and from how many pairs on."""
        study, answers = self._study, self.report["answers"]
        own = {name: by_situation(found, self._plain) for name, found in self._found.items()}
        family = [own[name] for name in own if name.split(" of ")[0] == name and name.startswith("vectors")]
        for kind in [kind for kind in KINDS if f"adapters {kind}" in own]:
            difference = difference_at_equal_fluency([own["unsteered"], *family], own[f"adapters {kind}"])
            by_pairs: dict[str, Any] = {}
            for figure in ("hit", "harmonic_mean"):
                compared = {
                    size: paired(
                        own.get(f"adapters {kind} of {size}", own[f"adapters {kind}"])[figure],
                        own[f"vectors of {size}"][figure],
                    )
                    for size in study.sizes.pairs
                }
                by_pairs[figure] = {
                    "differences": {str(size): one.model_dump() for size, one in compared.items()},
                    "words": ahead_from(compared),
                }
            answers[kind] = {
                "equal_fluency": difference.model_dump(),
                "words": reached(difference),
                "by_pairs": by_pairs,
            }
        self._finished(self.report)
