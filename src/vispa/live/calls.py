"""One call while it is answered, and who generates its rows."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from threading import Lock
from typing import Protocol

from vispa.errors import VispaError
from vispa.generation.engine import Engine
from vispa.generation.rows import Generated, Row, Sampling
from vispa.live.events import Event


class StoppedError(VispaError):
    """Nobody wants the answer any more."""

    def __init__(self) -> None:
        super().__init__("The request was stopped before it was answered.")


class Ticket(Protocol):
    """Rows that are being generated."""

    def cancel(self) -> None:
        """Let the rows go; safe from any thread, and without effect where they are done."""

    def result(self) -> list[Generated]:
        """The texts, once they are there; raises what went wrong."""
        ...


class Runner(Protocol):
    """Generates rows of several callers at the same time."""

    def submit(
        self, rows: Sequence[Row], sampling: Sampling, *, on_text: Callable[[int, str], None] | None = None
    ) -> Ticket:
        """Take rows whose steers name their recipe.

        Args:
            rows: of one caller.
            sampling: how to decode.
            on_text: called with the number of a row and what is new of its text, from another thread.
        """
        ...


class Call:
    """One call while it is answered.

    Args:
        tell: called with every event, from another thread.

    Attributes:
        rows: number of rows generated so far.
        prompt_tokens: of their prompts.
        generated_tokens: of their texts.
    """

    def __init__(self, tell: Callable[[Event], None] | None = None) -> None:
        self._tell, self._lock = tell, Lock()
        self._ticket: Ticket | None = None
        self.is_stopped = False
        self.rows = self.prompt_tokens = self.generated_tokens = 0

    def tell(self, event: Event) -> None:
        """Tell what happened, if anybody listens."""
        if self._tell is not None:
            self._tell(event)

    def stop(self) -> None:
        """Let the work go: rows at the next token, what reads them before its next stage."""
        with self._lock:
            self.is_stopped, ticket = True, self._ticket
        if ticket is not None:
            ticket.cancel()

    def check(self) -> None:
        """Refuse to go on with what was stopped.

        Raises:
            StoppedError: it was.
        """
        if self.is_stopped:
            raise StoppedError

    @contextmanager
    def holding(self, ticket: Ticket) -> Iterator[None]:
        """Stop a ticket with the call while the context lasts."""
        with self._lock:
            self._ticket = ticket
        if self.is_stopped:
            ticket.cancel()
        try:
            yield
        finally:
            with self._lock:
                self._ticket = None


class DirectRunner:
    """A `Runner` that generates rows in the caller's own thread, and tells each text once it is whole.

    Args:
        engine: of the model.
    """

    def __init__(self, engine: Engine) -> None:
        self.engine = engine

    def submit(
        self, rows: Sequence[Row], sampling: Sampling, *, on_text: Callable[[int, str], None] | None = None
    ) -> Ticket:
        """See `Runner.submit`."""
        return _DirectTicket(self.engine, rows, sampling, on_text)


class _DirectTicket:
    def __init__(
        self, engine: Engine, rows: Sequence[Row], sampling: Sampling, on_text: Callable[[int, str], None] | None
    ) -> None:
        self._asked, self._on_text, self._is_cancelled = (engine, rows, sampling), on_text, False

    def cancel(self) -> None:
        """See `Ticket.cancel`."""
        self._is_cancelled = True

    def result(self) -> list[Generated]:
        """See `Ticket.result`."""
        engine, rows, sampling = self._asked

        def check(_: int = 0) -> None:
            if self._is_cancelled:
                raise StoppedError

        check()
        texts = engine.generate(rows, sampling, check)
        for number, one in enumerate(texts if self._on_text is not None else ()):
            self._on_text(number, one.text)  # type: ignore[misc]
        return texts
