"""A pipeline that tells a call what it does, and stops with it."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import numpy as np
import numpy.typing as npt

from vispa.generation.letters import Masses
from vispa.generation.rows import Generated, Row, Sampling
from vispa.live.calls import Call, Runner
from vispa.live.events import Said, Selected
from vispa.models.encoding import Prompt
from vispa.records import Selection
from vispa.request import OptionReadingName, Request
from vispa.selection.choosing import Chooser

if TYPE_CHECKING:
    from vispa.steering.recipe import Recipe

PipelineT = TypeVar("PipelineT", bound="Parts")


class Parts(Protocol):
    """What is watched of a pipeline."""

    chooser: Any
    engine: Any


def watched(pipeline: PipelineT, call: Call, runner: Runner) -> PipelineT:
    """The same pipeline, which tells a call what it does, and stops with it; it shares everything else.

    Args:
        pipeline: whose recipe and selector count.
        call: is told.
        runner: generates the comments; over the pipeline's model and bank.
    """
    other = copy.copy(pipeline)
    other.engine = _WatchedEngine(pipeline.engine, call, runner)
    other.chooser = _WatchedChooser(pipeline.chooser, call)
    return other


class _WatchedEngine:
    """An `Engine` whose rows a runner generates for a call."""

    def __init__(self, engine: Any, call: Call, runner: Runner) -> None:
        self._engine, self._call, self._runner = engine, call, runner
        self.recipe: Recipe | None = engine.recipe

    @property
    def name(self) -> str:
        return str(self._engine.name)

    @property
    def option_reading(self) -> OptionReadingName:
        found: OptionReadingName = self._engine.option_reading
        return found

    @property
    def least_option_mass(self) -> float:
        return float(self._engine.least_option_mass)

    def chat_prompt(self, message: str, subject: str | None = None) -> Prompt:
        prompt: Prompt = self._engine.chat_prompt(message, subject)
        return prompt

    def raw_prompt(self, text: str) -> Prompt:
        prompt: Prompt = self._engine.raw_prompt(text)
        return prompt

    def steers(self, value: str) -> bool:
        return bool(self._engine.steers(value))

    def generate(
        self, rows: Sequence[Row], sampling: Sampling, progress: Callable[[int], None] | None = None
    ) -> list[Generated]:
        self._call.check()
        # The runner's engine has a recipe of its own.
        recipe = self.recipe or self._engine.bank.recipe
        asked = [
            replace(row, steers=tuple(replace(one, recipe=one.recipe or recipe) for one in row.steers)) for row in rows
        ]

        def told(number: int, text: str) -> None:
            if text and rows[number].steers:
                self._call.tell(Said(value=rows[number].steers[0].value, text=text))

        ticket = self._runner.submit(asked, sampling, on_text=told)
        with self._call.holding(ticket):
            texts = ticket.result()
        self._call.rows += len(rows)
        self._call.prompt_tokens += sum(len(row.prompt.ids) for row in rows)
        self._call.generated_tokens += sum(one.tokens for one in texts)
        self._call.check()
        if progress is not None:
            progress(len(rows))
        return texts

    def options(self, rows: Sequence[Row], counts: Sequence[int]) -> list[Masses]:
        self._call.check()
        found: list[Masses] = self._engine.options(rows, counts)
        return found

    def likelihoods(self, rows: Sequence[Row], continuations: Sequence[Sequence[str]]) -> list[npt.NDArray[np.float64]]:
        self._call.check()
        found: list[npt.NDArray[np.float64]] = self._engine.likelihoods(rows, continuations)
        return found


class _WatchedChooser(Chooser):
    """A chooser that tells what it has chosen; it shares what the other has loaded."""

    def __init__(self, chooser: Chooser, call: Call) -> None:
        vars(self).update(vars(chooser))
        self._call = call

    def select(self, requests: Sequence[Request]) -> list[tuple[Selection, ...]]:
        self._call.check()
        found = super().select(requests)
        for values in found:
            self._call.tell(Selected(values=values))
        return found
