"""One call while it is answered."""

from __future__ import annotations

from collections.abc import Callable, Collection
from threading import Lock

from vispa.errors import VispaError
from vispa.live.events import Event


class StoppedError(VispaError):
    """Nobody wants the answer any more."""

    def __init__(self) -> None:
        super().__init__("The request was stopped before it was answered.")


class Call:
    """One call while it is answered.

    Args:
        tell: called with every event, from another thread.

    Attributes:
        rows: number of rows written so far, those included that were stopped or failed on the way.
        prompt_tokens: of their prompts.
        generated_tokens: of their texts, as far as they came.
    """

    def __init__(self, tell: Callable[[Event], None] | None = None) -> None:
        self._tell, self._lock = tell, Lock()
        self._parts: list[Callable[[], None]] = []
        self.is_stopped = False
        self.rows = self.prompt_tokens = self.generated_tokens = 0
        self._chosen: dict[int, tuple[str, ...]] = {}

    @property
    def chosen(self) -> list[tuple[str, ...]]:
        """The values of each text for which they have been chosen so far."""
        return list(self._chosen.values())

    def choose(self, request: object, values: Collection[str]) -> None:
        """Values are chosen for a request; again, where texts are parted after one of them failed."""
        self._chosen[id(request)] = tuple(values)

    def tell(self, event: Event) -> None:
        """Tell what happened, if anybody listens."""
        if self._tell is not None:
            self._tell(event)

    def stop(self) -> None:
        """Let the work go: rows at the next token, what reads them before its next stage."""
        with self._lock:
            self.is_stopped, parts = True, list(self._parts)
        for let_go in parts:
            let_go()

    def check(self) -> None:
        """Refuse to go on with what was stopped.

        Raises:
            StoppedError: it was.
        """
        if self.is_stopped:
            raise StoppedError

    def on_stop(self, let_go: Callable[[], None]) -> None:
        """Have something else stopped with the call, from any thread, even if it was stopped already."""
        with self._lock:
            self._parts.append(let_go)
        if self.is_stopped:
            let_go()
