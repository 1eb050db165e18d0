"""vLLM at work: prompts go in with whom to tell, and every step tells of a token more."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from functools import partial
from itertools import count
from threading import RLock, local
from typing import Any

import torch

from vispa.errors import TextError
from vispa.generation.vllm.asked import ARGUMENT
from vispa.steering.recipe import Recipe

# So many requests may end before their reports are fetched: workers keep four times as many.
_FETCHED = 16_384

#: Told of what vLLM has written so far, or to its end.
Told = Callable[[Any], None]


class Running:
    """vLLM with a model and a bank, for any threads: one of them works at a time.

    Args:
        engine: a `vllm.LLMEngine`.
        recipe: of steers that name none, as its workers know it; None without a bank.
    """

    def __init__(self, engine: Any, recipe: Recipe | None) -> None:
        self.engine, self.recipe = engine, recipe
        #: Most tokens of a prompt and its text; beyond, vLLM cuts texts off without a word.
        self.longest = int(engine.vllm_config.model_config.max_model_len)
        self.device = str(engine.vllm_config.device_config.device_type)  #: Kind of device that it runs on.
        self.numbers = count(1)  #: Of requests whose amounts are asked for.
        self._lock, self._names = RLock(), count()
        self._threads, self._here = torch.get_num_threads(), local()
        self._listeners: dict[str, tuple[str, Told, int | None]] = {}  # By the name given; with vLLM's own, and number.
        self._awaited: set[int] = set()  # Numbers of requests that somebody will ask about.
        self._told: dict[int, tuple[dict[int, float], str | None]] = {}
        self._untold = 0  # Requests that have ended since reports were fetched, of those that are awaited.

    def begin(self, ids: Sequence[int], params: Any, told: Told) -> str:
        """Hand a prompt over.

        Args:
            ids: of the prompt.
            params: `vllm.SamplingParams`.
            told: told of its outputs (`vllm.RequestOutput`).

        Returns:
            Its name.

        Raises:
            TextError: vLLM does not take it.
        """
        from vllm.exceptions import VLLMClientError
        from vllm.inputs import tokens_input

        with self._lock:
            name = f"vispa-{next(self._names)}"
            try:
                inner = self.engine.add_request(name, tokens_input(list(ids)), params)
            except VLLMClientError as error:
                raise TextError(str(error)) from error
            number = _number(params)
            if number is not None:
                self._awaited.add(number)
            self._listeners[name] = inner, told, number
            return name

    def step(self) -> None:
        """One step of vLLM; whoever has a token more is told."""
        with self._lock:
            self._take_over_threads()
            for output in self.engine.step():
                listener = self._listeners.get(output.request_id)
                if output.finished:
                    self._listeners.pop(output.request_id, None)
                    self._untold += listener is not None and listener[2] is not None
                if listener is not None:
                    listener[1](output)
            if self._untold >= _FETCHED:
                self._fetch()

    def _take_over_threads(self) -> None:
        """Compute on as many processor threads as the thread that started vLLM.

        Each thread has a number of its own, and vLLM's kernels for processors share out their room by the first one's.
        """
        if not hasattr(self._here, "known"):
            # In the place of `torch.set_num_threads` vLLM puts something that does nothing.
            torch._C.set_num_threads(self._threads)
            self._here.known = True

    def cancel(self, names: Collection[str]) -> None:
        """What was begun under these names ends; nobody is told of it any more."""
        with self._lock:
            found = [self._listeners.pop(name) for name in names if name in self._listeners]
            self.engine.abort_request([inner for inner, _, _ in found], internal=True)
            self._forget(number for _, _, number in found)

    def forget(self, asked: Iterable[Any]) -> None:
        """Nobody asks any more what was measured for these.

        Args:
            asked: `vllm.SamplingParams` of requests that were begun, or were not.
        """
        with self._lock:
            self._forget(map(_number, asked))

    def _forget(self, numbers: Iterable[int | None]) -> None:
        for number in numbers:
            if number is not None:
                self._awaited.discard(number)
                self._told.pop(number, None)

    def run(self, asked: Sequence[tuple[Sequence[int], Any]], ended: Callable[[int], None] | None = None) -> list[Any]:
        """What vLLM gives for prompts to their end, in their order; they run together, and with what runs already.

        Args:
            asked: token ids, and `vllm.SamplingParams`.
            ended: called with the number of prompts just finished.
        """
        found: dict[int, Any] = {}

        def told(place: int, output: Any) -> None:
            if output.finished:
                found[place] = output
                if ended is not None:
                    ended(1)

        names: list[str] = []
        with self._lock:
            try:
                for place, (ids, params) in enumerate(asked):
                    names.append(self.begin(ids, params, partial(told, place)))
                while len(found) < len(asked):
                    self.step()
            except BaseException:
                self.cancel(names)
                raise
        return [found[place] for place in range(len(asked))]

    def amounts(self, number: int) -> tuple[dict[int, float], str | None]:
        """What was measured for a request: lengths of the shifts by block, and what went wrong.

        Args:
            number: under which it was asked for.
        """
        with self._lock:
            if number not in self._told:
                self._fetch()
            self._awaited.discard(number)
            return self._told.pop(number, ({}, None))

    def _fetch(self) -> None:
        """Take over the workers' reports, of which they keep the latest only."""
        told = self.engine.collective_rpc("vispa_told")[0]
        # Of cancelled requests too, whose passes were under way.
        self._told.update((one, (dict(amounts), problem)) for one, amounts, problem in told if one in self._awaited)
        self._untold = 0


def _number(params: Any) -> int | None:
    """Under which what is measured for a request is told."""
    argument = (getattr(params, "extra_args", None) or {}).get(ARGUMENT)
    if not isinstance(argument, dict) or argument.get("reading"):
        return None
    number: int | None = argument.get("number")
    return number
