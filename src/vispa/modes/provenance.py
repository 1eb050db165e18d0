"""How answers came about, for their records."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from vispa.generation.engine import Engine
from vispa.modes.case import Case
from vispa.modes.prompts import Prompts
from vispa.records import Decoding, Provenance, Steering
from vispa.request import Request, Sampling
from vispa.selection.choosing import Chooser
from vispa.steering.bank import VectorBank
from vispa.steering.recipe import Recipe
from vispa.versions import versions

if TYPE_CHECKING:
    # Loading brings torch, which nothing here needs.
    from vispa.models.loading import LoadedModel


@dataclass(frozen=True)
class Origin:
    """What the answers of a pipeline come from, whatever their mode.

    Attributes:
        model: that was steered.
        engine: that ran it.
        bank: the model's directions.
        recipe: how it was steered.
        chooser: of the values.
        prompts: wording.
        stances: name of what read where the comments stand.
    """

    model: LoadedModel
    engine: Engine
    bank: VectorBank
    recipe: Recipe
    chooser: Chooser
    prompts: Prompts
    stances: str

    def provenance(
        self, request: Request, case: Case, parts: dict[str, Any], sampling: Sampling, seconds: dict[str, float]
    ) -> Provenance:
        """How the answer to a request came about.

        Args:
            request: as it was checked.
            case: made of it.
            parts: of the mode (`vispa.modes.base.Mode.parts_of`).
            sampling: how comments were decoded.
            seconds: by stage.
        """
        blocks = self.recipe.chosen_blocks(len(self.model.blocks))
        return Provenance(
            model=self.model.name,
            model_fingerprint=self.model.fingerprint,
            dtype=str(self.model.model.dtype).removeprefix("torch."),
            device=self.engine.device,
            bank=self.bank.fingerprint,
            taxonomy=self.bank.info.taxonomy_fingerprint,
            selector=self.chooser.selector.name,
            choosing=self.chooser.choosing(request),
            steering=Steering(**{**vars(self.recipe), "blocks": blocks}, strengths=self._strengths(case)),
            sampling=Decoding.model_validate(sampling.effective()) if case.comments else None,
            prompts=self.prompts.digest,
            stances=self.stances if case.comments else None,
            versions=versions(self.engine.kind),
            timings={stage: round(passed, 4) for stage, passed in seconds.items()},
            **parts,
        )

    def _strengths(self, case: Case) -> dict[str, float] | None:
        """What was measured for the values of a case, where the recipe's magnitude is measured."""
        if not self.recipe.rule.measured:
            return None
        return {one.value: self.bank.amount(one.value, self.recipe) for one in case.values}


class Clock:
    """Adds up seconds by stage."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextmanager
    def __call__(self, stage: str) -> Iterator[None]:
        """Count the time within the context to a stage."""
        started = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[stage] = self.seconds.get(stage, 0.0) + time.perf_counter() - started
