"""An engine whose rows share forward passes with those of others: what a server gives each request."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import CancelledError, Future
from contextlib import ExitStack
from functools import partial
from threading import Lock
from typing import Any, Self, TypeVar

import numpy as np
import numpy.typing as npt

from vispa.generation.calls import Call
from vispa.generation.held import HeldEngine, check_options, padded_tokens
from vispa.generation.letters import Masses
from vispa.generation.rows import Generated, Row, Sampling
from vispa.generation.scheduling import Schedules
from vispa.generation.tickets import OnRow, OnText
from vispa.models.batching import Budget
from vispa.models.encoding import Prompt
from vispa.request import OptionReadingName

T = TypeVar("T")


class ScheduledEngine:
    """An `Engine` that hands everything to a scheduler and waits for it; one for each request costs nothing.

    As a context manager it is one caller of the scheduler's: closing lets it come to its end (`Scheduler.asking`).

    Args:
        scheduler: of the engine's model.
        engine: the model with its bank and recipe.
        on_text: see `Scheduler.submit`; by the row's number in its call of `generate`.
        on_row: see `Scheduler.submit`.
    """

    def __init__(
        self,
        scheduler: Schedules,
        engine: HeldEngine,
        *,
        on_text: OnText | None = None,
        on_row: OnRow | None = None,
    ) -> None:
        self._scheduler, self._engine = scheduler, engine
        self._on_text, self._on_row = on_text, on_row
        self._pending: set[Future[Any]] = set()
        self._cancelled = False
        self._lock = Lock()
        self._asking = ExitStack()
        self._begun = False

    def __enter__(self) -> Self:
        self._asking.enter_context(self._scheduler.asking())
        self._begun = True
        return self

    def __exit__(self, *_: object) -> None:
        self._begun = False
        self._asking.close()

    @property
    def kind(self) -> str:
        """See `Engine`."""
        return self._engine.kind

    @property
    def device(self) -> str:
        """See `Engine`."""
        return self._engine.device

    @property
    def name(self) -> str:
        """See `Engine`."""
        return self._engine.name

    @property
    def fingerprint(self) -> str:
        """See `Engine`."""
        return self._engine.fingerprint

    @property
    def settings(self) -> Mapping[str, Any]:
        """See `Engine`."""
        return self._engine.settings

    @property
    def option_reading(self) -> OptionReadingName:
        """See `Engine`."""
        return self._engine.option_reading

    @property
    def least_option_mass(self) -> float:
        """See `Engine`."""
        return self._engine.least_option_mass

    def chat_prompt(self, message: str, subject: str | None = None) -> Prompt:
        """See `Engine.chat_prompt`."""
        return self._engine.chat_prompt(message, subject)

    def raw_prompt(self, text: str) -> Prompt:
        """See `Engine.raw_prompt`."""
        return self._engine.raw_prompt(text)

    def steers(self, value: str) -> bool:
        """See `Engine.steers`."""
        return self._engine.steers(value)

    def generate(
        self, rows: Sequence[Row], sampling: Sampling, progress: Callable[[int], None] | None = None
    ) -> list[Generated]:
        """See `Engine.generate`.

        Raises:
            InputError: see there.
            NumericalError: see there.
            ContextError: see there.
            BusyError: too many rows wait.
            ClosedError: the scheduler is closed, or was before the texts had ended.
            EngineError: the engine failed meanwhile.
            CancelledError: see `cancel`.
        """

        def ended(number: int, text: Generated) -> None:
            if self._on_row is not None:
                self._on_row(number, text)
            if progress is not None:
                progress(1)

        on_row = None if self._on_row is None and progress is None else ended
        submit = partial(self._scheduler.submit, on_text=self._on_text, on_row=on_row, begun=self._begun)
        return self._result(submit(self._engine, rows, sampling))

    def options(self, rows: Sequence[Row], counts: Sequence[int]) -> list[Masses]:
        """See `Engine.options`; further errors as in `generate`."""
        check_options(counts)
        parts = self._engine.reading_parts(rows, self._scheduler.reading)
        return self._read(self._engine.options, rows, counts, parts, self._engine.reading_tokens)

    def likelihoods(self, rows: Sequence[Row], continuations: Sequence[Sequence[str]]) -> list[npt.NDArray[np.float64]]:
        """See `Engine.likelihoods`; further errors as in `generate`."""
        parts = stretches(rows, self._scheduler.reading)
        return self._read(self._engine.likelihoods, rows, continuations, parts, _prompts_once)

    def cancel(self) -> None:
        """Cancel all that was handed over, from any thread; calls that wait for it, and later ones, are cancelled."""
        with self._lock:
            self._cancelled = True
            pending = list(self._pending)
        for future in pending:
            future.cancel()

    def _read(
        self,
        function: Callable[[Sequence[Row], Sequence[Any]], Sequence[T]],
        rows: Sequence[Row],
        others: Sequence[Any],
        parts: Sequence[Sequence[int]],
        tokens: Callable[[Sequence[Row]], int],
    ) -> list[T]:
        """What a function of rows, each with something else, gives for each row: asked for in parts.

        Between the parts other requests have their turn.
        """
        items = list(zip(rows, others, strict=True))
        # A method of the engine: it equals that of other requests to the same one.
        calls = [
            Call(
                partial(_unzipped, function),
                [items[at] for at in part],
                tokens([rows[at] for at in part]),
                key=function,
                owner=id(self),
            )
            for part in parts
        ]
        futures = [self._scheduler.read(call, begun=self._begun) for call in calls]
        with self._lock:
            self._pending.update(futures)
        found: dict[int, T] = {}
        try:
            for part, future in zip(parts, futures, strict=True):
                found.update(zip(part, self._result(future), strict=True))
        finally:
            # Of what is not wanted any more nothing is read.
            for future in futures:
                future.cancel()
            with self._lock:
                self._pending.difference_update(futures)
        return [found[at] for at in range(len(rows))]

    def _result(self, future: Future[T]) -> T:
        with self._lock:
            self._pending.add(future)
            cancelled = self._cancelled
        if cancelled:
            future.cancel()
            raise CancelledError
        try:
            return future.result()
        finally:
            with self._lock:
                self._pending.discard(future)


def stretches(rows: Sequence[Row], budget: Budget) -> list[list[int]]:
    """Places of N rows, those side by side together as long as a pass holds them; equal rows are read once."""
    parts: list[list[int]] = []
    for place, row in enumerate(rows):
        if parts and (
            row == rows[parts[-1][-1]] or budget.holds(1, _prompts_once([*(rows[at] for at in parts[-1]), row]))
        ):
            parts[-1].append(place)
        else:
            parts.append([place])
    return parts


def _prompts_once(rows: Sequence[Row]) -> int:
    """The tokens of prompts that are brought to one length, equal rows being one."""
    return padded_tokens(list(dict.fromkeys(rows)))


def _unzipped(function: Callable[[Sequence[Any], Sequence[Any]], Sequence[T]], items: Sequence[Any]) -> Sequence[T]:
    """What a function of two sequences gives for their pairs."""
    return function([first for first, _ in items], [second for _, second in items])
