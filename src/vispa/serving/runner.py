"""A runner that is made anew after a fault."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from threading import Lock
from typing import Any

from vispa.errors import VispaError
from vispa.generation.rows import Generated, Row, Sampling
from vispa.live.calls import Runner, Ticket
from vispa.serving.faults import Refusal, say_fault

_logger = logging.getLogger(__name__)


class RestartingRunner:
    """A `Runner` over another one, which is replaced once it has failed by itself.

    Args:
        make: makes the other one.
        told: called with every restart.
    """

    def __init__(self, make: Callable[[], Runner], told: Callable[[], None]) -> None:
        self._make, self._told, self._lock = make, told, Lock()
        self._inner = make()

    @property
    def waiting(self) -> int:
        """Number of rows that wait for a place in the batch."""
        return int(getattr(self._inner, "waiting", 0))

    def submit(
        self, rows: Sequence[Row], sampling: Sampling, *, on_text: Callable[[int, str], None] | None = None
    ) -> Ticket:
        """See `Runner.submit`.

        Raises:
            Refusal: the engine has failed, or has no room.
        """
        inner = self._inner
        try:
            ticket = inner.submit(rows, sampling, on_text=on_text)
        except VispaError:
            raise
        except Exception as error:
            raise self._restarted(inner, error) from error
        return _Guarded(ticket, lambda error: self._restarted(inner, error))

    def close(self) -> None:
        """End the other one."""
        _close(self._inner)

    def _restarted(self, failed: Runner, error: Exception) -> Refusal:
        """Put another one in the place of one that failed; whoever waited for it is told."""
        with self._lock:
            if self._inner is failed:
                say_fault(error)
                _logger.error("the engine failed and is started anew")
                self._inner = self._make()
                self._told()
                _close(failed)
        return Refusal(503, "The engine failed and was started anew. Ask again.", code="engine_restarted")


class _Guarded:
    def __init__(self, ticket: Ticket, failed: Callable[[Exception], Refusal]) -> None:
        self._ticket, self._failed = ticket, failed

    def cancel(self) -> None:
        """See `Ticket.cancel`."""
        self._ticket.cancel()

    def result(self) -> list[Generated]:
        """See `Ticket.result`."""
        try:
            return self._ticket.result()
        except VispaError:
            raise
        except Exception as error:
            raise self._failed(error) from error


def _close(runner: Any) -> None:
    close = getattr(runner, "close", None)
    if close is not None:
        close()
