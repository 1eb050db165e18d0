"""VISPA itself, also with another estimator or selector."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict
from typing import Any

from vispa.errors import InputError
from vispa.evaluation.methods.base import Bench, read_answer
from vispa.evaluation.runs.folder import CommentRecord, MethodAnswer
from vispa.items.asking import item_request
from vispa.items.item import Item
from vispa.pipeline import Vispa
from vispa.readers.base import Failure
from vispa.records import Comment, DistributionalResponse, Response, SteerableResponse
from vispa.study.inspection import recipe_for


class VispaMethod:
    """The bench's pipeline as it is, or with one or two parts exchanged.

    Args:
        bench: of the run.
        name: `vispa`, `vispa:ESTIMATOR` (an entry of the bank, with the recipe that suits it),
            `vispa+SELECTOR`, or `vispa:ESTIMATOR+SELECTOR`.

    Raises:
        InputError: the bank has no such estimator, or the bench no such selector.
    """

    def __init__(self, bench: Bench, name: str = "vispa") -> None:
        self.bench, self.name = bench, name
        estimator, selector = parse(name)
        self.vispa = _variant(bench, estimator, selector)
        recipe = self.vispa.recipe
        blocks = recipe.chosen_blocks(len(self.vispa.model.blocks))
        self.settings: dict[str, Any] = {
            "recipe": {**asdict(recipe), "blocks": blocks},
            "selector": self.vispa.selector.name,
            "mixture": asdict(self.vispa.mixture),
            "request": dict(bench.request_options),
        }

    def answer(self, items: Sequence[Item]) -> list[MethodAnswer]:
        """See `Method.answer`."""
        if not items:
            return []
        requests = [
            item_request(item, self.bench.request_options, own_stances=self.bench.own_stances) for item in items
        ]
        found = self.vispa.respond_many(requests, **asdict(self.bench.sampling))
        return [read_answer(one) if isinstance(one, Failure) else _answer(one) for one in found]


def parse(name: str) -> tuple[str | None, str | None]:
    """Estimator and selector that a method's name asks for."""
    rest, _, selector = name.partition("+")
    _, _, estimator = rest.partition(":")
    return estimator or None, selector or None


def estimators_of(methods: Iterable[str]) -> set[str]:
    """The entries of the bank that methods of these names ask for."""
    return {found for name in methods if (found := parse(name)[0]) is not None}


def _variant(bench: Bench, estimator: str | None, selector: str | None) -> Vispa:
    if estimator is None and selector is None:
        return bench.vispa
    if selector is not None and selector not in bench.selectors:
        known = ", ".join(bench.selectors) or "none here"
        raise InputError("methods", f"asks for the selector {selector!r}.", f"Selectors: {known}.")
    return bench.vispa.variant(
        recipe=None if estimator is None else recipe_for(bench.vispa.bank, estimator),
        selector=None if selector is None else bench.selectors[selector](bench.vispa.taxonomy),
    )


def _answer(found: Response) -> MethodAnswer:
    return read_answer(found).model_copy(
        update={
            "values": tuple(chosen.value for chosen in found.values),
            "scores": tuple(chosen.score for chosen in found.values),
            "weights": found.weights if isinstance(found, DistributionalResponse) else (),
            "chosen": found.chosen if isinstance(found, SteerableResponse) else None,
            "comments": tuple(_comment(comment) for comment in found.comments),
            "tokens": sum(comment.tokens for comment in found.comments),
        }
    )


def _comment(comment: Comment) -> CommentRecord:
    """The comment as a run keeps it."""
    return CommentRecord(**comment.model_dump(include=set(CommentRecord.model_fields)))
