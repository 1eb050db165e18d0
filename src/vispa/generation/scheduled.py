"""An engine whose rows share forward passes with those of others: what a server gives each request."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import CancelledError, Future
from contextlib import ExitStack
from functools import cache, partial
from threading import Lock
from typing import Any, Self, TypeVar

import numpy as np
import numpy.typing as npt

from vispa.generation.calls import Call
from vispa.generation.held import HeldEngine, check_options
from vispa.generation.letters import Masses
from vispa.generation.rows import Generated, Row, Sampling
from vispa.generation.scheduling import Schedules
from vispa.generation.tickets import OnRow, OnText
from vispa.models.batching import Budget
from vispa.models.context import check_context
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
        engine = self._engine
        check_options(counts)
        self._check(rows)
        return self._read(engine.options, rows, counts, engine.reading_parts(rows, self._scheduler.reading))

    def likelihoods(self, rows: Sequence[Row], continuations: Sequence[Sequence[str]]) -> list[npt.NDArray[np.float64]]:
        """See `Engine.likelihoods`; further errors as in `generate`."""
        self._check(rows)
        encode = self._engine.loaded.tokenization.encode
        tokens = cache(lambda text: len(encode(text, ((0, len(text)),))))
        parts = stretches(rows, continuations, tokens, self._scheduler.reading)
        return self._read(self._engine.likelihoods, rows, continuations, parts)

    def _check(self, rows: Sequence[Row]) -> None:
        """Refuse rows that are longer than the model's context before any part is read."""
        for row in rows:
            check_context(self._engine.loaded, len(row.prompt.ids))

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
        parts: Sequence[tuple[Sequence[int], int]],
    ) -> list[T]:
        """What a function of rows, each with something else, gives for each row: asked for in parts, with their tokens.

        Between the parts other requests have their turn.
        """
        items = list(zip(rows, others, strict=True))
        together = partial(_unzipped, function)
        futures: list[Future[Any]] = []
        found: dict[int, T] = {}
        try:
            for part, tokens in parts:
                # The key is a method of the engine: it equals that of other requests to the same one.
                call = Call(together, [items[at] for at in part], tokens, key=function, owner=self)
                futures.append(self._scheduler.read(call, begun=self._begun))
            with self._lock:
                self._pending.update(futures)
            for (part, _), future in zip(parts, futures, strict=True):
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


def stretches(
    rows: Sequence[Row], continuations: Sequence[Sequence[str]], tokens: Callable[[str], int], budget: Budget
) -> list[tuple[list[int], int]]:
    """Places of N rows in parts, and about how many tokens each reads: rows side by side as long as a pass holds them.

    Equal prompts are read once, and so are equal continuations of one.

    Args:
        rows: prompts.
        continuations: of each.
        tokens: of a continuation.
        budget: of a pass; without one all are a part, uncounted.
    """
    if budget == Budget():
        return [(list(range(len(rows))), 0)]
    parts: list[tuple[list[int], int]] = []
    prompts: set[Row] = set()
    said: set[tuple[Row, str]] = set()
    longest = after = 0
    for place, (row, texts) in enumerate(zip(rows, continuations, strict=True)):
        own = {(row, text) for text in texts}
        width = max(longest, len(row.prompt.ids))
        more = after + sum(tokens(text) for _, text in own - said)
        cost = (len(prompts) + (row not in prompts)) * width + more
        if parts and budget.holds(1, cost):
            places, _ = parts[-1]
            parts[-1] = (places, cost)
            places.append(place)
        else:
            prompts, said = set(), set()
            width, more = len(row.prompt.ids), sum(tokens(text) for _, text in own)
            parts.append(([place], width + more))
        prompts.add(row)
        said |= own
        longest, after = width, more
    return parts


def _unzipped(function: Callable[[Sequence[Any], Sequence[Any]], Sequence[T]], items: Sequence[Any]) -> Sequence[T]:
    """What a function of two sequences gives for their pairs."""
    return function([first for first, _ in items], [second for _, second in items])
