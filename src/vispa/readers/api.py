"""Any chat model behind an OpenAI-compatible API as the aggregating model.

Requests run in a few threads. What may pass (a full server, a lost connection, a garbled body) is
tried again with growing pauses; what stays broken is the failure of that one prompt; what would
break every prompt (a wrong key, an unknown model) stops the whole call.
"""

from __future__ import annotations

import json
import logging
import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from threading import Event, Lock
from typing import Any, Generic, TypeVar

import numpy as np
import numpy.typing as npt
from pydantic import ValidationError

from vispa.errors import InputError, ReaderSetupError, check_choice
from vispa.readers.address import key_of, shown_place
from vispa.readers.base import Distribution, Failure, Progress, Unfinished, Unreached
from vispa.readers.faults import Fault, fault_in_reply, fault_of_status, meaning
from vispa.readers.parameters import (
    DEFAULT_TIMEOUT,
    LONGEST_TIMEOUT,
    SHORTEST_TIMEOUT,
    Accepted,
    check_parameters,
)
from vispa.readers.replies import (
    Reply,
    answer_of,
    distribution_of,
    first_problem,
    no_likelihoods,
    no_logprobs,
    reply_or_error,
)
from vispa.readers.retrying import LONGEST_RETRY_AFTER, Passing, pause_before
from vispa.readers.threads import run_jobs
from vispa.readers.transport import (
    OutOfTimeError,
    RedirectError,
    ReplyError,
    cause,
    certificate_problem,
    http_client,
    within,
)
from vispa.request import LEAST_OPTION_MASS, LETTERS, OPTION_READINGS, OptionReadingName

T = TypeVar("T")

_logger = logging.getLogger(__name__)

# How many times as long all tries of a prompt may take together.
_ALL_TRIES = 2.0


class ApiChat:
    """A `ChatModel` that is asked over HTTP.

    Prompts are sent as the message of a user at temperature 0; the server puts them in the model's
    chat template, option prompts too. A parameter that the server refuses is renamed or left out
    from then on, with a warning. The key is read from the environment and appears in no message;
    it goes to the address given and, by redirects, nowhere else.

    Args:
        model: the model's name at the server.
        base_url: address of the API, `/v1` included; `OPENAI_BASE_URL` or OpenAI's own by default.
        key_variable: environment variable that holds the key; empty for servers that need none.
        timeout: longest time of one try, from its first byte to the last of the reply, in seconds; all
            tries of a prompt take at most twice as long, besides the pauses between them.
        retries: further tries after the first.
        concurrency: requests at the same time.
        backoff: pause before the second try, in seconds; doubles with every try.
        top_logprobs: how many likely tokens are asked for when options are weighed.
        option_reading: how options are read; one request an order of the options. `words` cannot be: a chat API
            tells no likelihood of a text that it is given.
        parameters: sent with every request beside the package's own, such as `reasoning_effort`; they
            are part of the name that goes into records.

    Raises:
        InputError: the client library or the key is missing, or an argument is unusable.
    """

    def __init__(
        self,
        model: str,
        *,
        base_url: str | None = None,
        key_variable: str = "OPENAI_API_KEY",
        timeout: float = DEFAULT_TIMEOUT,
        retries: int = 5,
        concurrency: int = 8,
        backoff: float = 0.5,
        top_logprobs: int = 20,
        parameters: Mapping[str, Any] | None = None,
        option_reading: OptionReadingName | None = None,
    ) -> None:
        if not model.strip():
            raise InputError("model", "of the API is empty.", "Give the model's name at the server.")
        for field, number, least, most in (
            ("timeout", timeout, SHORTEST_TIMEOUT, LONGEST_TIMEOUT),
            ("retries", retries, 0, 1000),
            ("concurrency", concurrency, 1, 1000),
            ("backoff", backoff, 0, 3600),
            ("top_logprobs", top_logprobs, 1, 1000),
        ):
            if not least <= number <= most:
                raise InputError(field, f"is {number}.", f"Give a number from {least} to {most:g}.")
        own = check_parameters(parameters or {})
        check_choice("option_reading", option_reading or "cyclic", OPTION_READINGS)
        if option_reading == "words":
            raise no_likelihoods()
        try:
            import openai
        except ImportError:
            raise InputError(
                "model", "of an API needs the `openai` library.", "Run `pip install vispa[api]`."
            ) from None
        address = base_url or os.environ.get("OPENAI_BASE_URL") or "https://api.openai.com/v1"
        self.model = model
        self.option_reading: OptionReadingName = option_reading or "cyclic"
        self.name = f"{model} {json.dumps(own, ensure_ascii=False)}" if own else model
        self.source = self.place = shown_place(address)  #: Without what is secret in it; see `source_of`.
        self._key_variable, self._key = key_variable, key_of(key_variable)
        self._timeout, self._retries, self._concurrency = timeout, retries, concurrency
        self._backoff, self._own = backoff, own
        self._accepted, self._lock = Accepted.at_first(own, top_logprobs), Lock()
        # The client's own retries leave out garbled bodies, so all tries are counted here instead.
        self._client = openai.OpenAI(
            api_key=self._key, base_url=address, timeout=timeout, max_retries=0, http_client=http_client()
        )

    def __repr__(self) -> str:
        return f"ApiChat({self.model!r}, base_url={self.place!r})"

    def write(
        self, prompts: Sequence[str], *, max_new_tokens: int = 300, progress: Progress | None = None
    ) -> list[str | Failure]:
        """See `ChatModel.write`.

        Raises:
            InputError: the server refuses the key, or does not know the model.
        """
        return run_jobs([partial(self._write, p, max_new_tokens) for p in prompts], self._concurrency, progress)

    def option_probabilities(
        self,
        prompts: Sequence[str],
        counts: Sequence[int],
        *,
        progress: Progress | None = None,
        least: float | None = None,
    ) -> list[Distribution | Failure]:
        """See `ChatModel.option_probabilities`.

        A letter's probability is summed over the likely tokens that write it (`vispa.generation.letters`).
        Letters that are not among the `top_logprobs` likeliest tokens count as 0.

        Raises:
            InputError: an unusable number of options; the server refuses the key, or does not know
                the model.
        """
        for number, count in enumerate(counts):
            if not 1 <= count <= len(LETTERS):
                raise InputError("options", f"prompt {number} has {count}.", "Give 1 to 26 options.")
        limit = LEAST_OPTION_MASS if least is None else least
        jobs = [partial(self._weigh, prompt, count, limit) for prompt, count in zip(prompts, counts, strict=True)]
        return run_jobs(jobs, self._concurrency, progress)

    def likelihoods(
        self, prompts: Sequence[str], continuations: Sequence[Sequence[str]]
    ) -> list[npt.NDArray[np.float64] | Failure]:
        """See `ChatModel.likelihoods`.

        Raises:
            InputError: always.
        """
        raise no_likelihoods()

    def _write(self, prompt: str, tokens: int, stop: Event) -> str | Failure:
        return self._ask(_Question(prompt, tokens, answer_of), stop)

    def _weigh(self, prompt: str, count: int, least: float, stop: Event) -> Distribution | Failure:
        if count == 1:
            return np.ones(1)
        read = partial(distribution_of, count=count, place=self.place, least=least)
        return self._ask(_Question(prompt, 1, read, True), stop)

    # ---------------------------------------------------------------- one request

    def _ask(self, question: _Question[T], stop: Event) -> T | Failure:
        """The first usable reply to a prompt, or why there is none."""
        attempt, spent, waited = 0, 0.0, 0.0
        most = _ALL_TRIES * self._timeout
        while True:
            started = time.monotonic()
            outcome = self._try(question, min(self._timeout, most - spent))
            spent += time.monotonic() - started
            if not isinstance(outcome, Passing):
                return outcome
            attempt += 1
            tries = f"(HTTP API at {self.place}, {attempt} {'try' if attempt == 1 else 'tries'})"
            pause = pause_before(attempt, self._backoff, outcome.wait)
            if outcome.wait > 0 and waited + outcome.wait > LONGEST_RETRY_AFTER:
                return Unreached(f"{outcome.problem}, and asks to wait {outcome.wait:.0f} s {tries}. Run again later.")
            # What is left of the time must be worth a try.
            if attempt > self._retries or spent > 0.9 * most or stop.wait(pause):
                return Unreached(f"{outcome.problem} {tries}. {outcome.advice}")
            waited += pause

    def _try(self, question: _Question[T], seconds: float) -> T | Failure | Passing:
        """One request, and another for each parameter that the server turns out not to take.

        Raises:
            InputError: every other request would fail in the same way.
        """
        ends = time.monotonic() + seconds
        while True:
            accepted = self._accepted
            if question.weighing and not accepted.top_logprobs:
                return no_logprobs(self.place)
            verdict = self._send(question, accepted, max(ends - time.monotonic(), 0.0))
            if isinstance(verdict, Accepted):
                self._learn(accepted, verdict)
                continue
            # Raised out here, so that no traceback leads to the client's request with the key in its headers.
            if isinstance(verdict, InputError):
                raise verdict
            return verdict

    def _learn(self, tried: Accepted, better: Accepted) -> None:
        """Ask differently from now on, unless another thread has learned meanwhile."""
        with self._lock:
            if self._accepted == tried:
                self._accepted = better
                _logger.warning("The API at %s: %s.", self.place, tried.change(better))

    def _send(
        self, question: _Question[T], accepted: Accepted, seconds: float
    ) -> T | Failure | Passing | InputError | Accepted:
        """The reply to one request, what is wrong with it, or how the server is to be asked."""
        import openai

        body = accepted.body(self._own, question.tokens, weighing=question.weighing)
        messages: Any = [{"role": "user", "content": question.prompt}]
        try:
            # The body is read here and not by the client, which lets replies with missing fields through.
            response = within(
                seconds,
                lambda: self._client.chat.completions.with_raw_response.create(
                    model=self.model, messages=messages, extra_body=body
                ),
            )
            reply, error = reply_or_error(response.content)
            if reply is not None:
                return question.read(reply)
            return self._judge(fault_in_reply(error, response.headers, self._key), accepted, weighing=question.weighing)
        except openai.APIStatusError as failed:
            return self._judge(fault_of_status(failed, self._key), accepted, weighing=question.weighing)
        except (openai.APITimeoutError, OutOfTimeError):
            return self._silent()
        except (openai.APIConnectionError, RedirectError, ReplyError) as broken:
            return self._broken(broken)
        except UnicodeEncodeError:
            return Failure("The prompt is not valid Unicode. Save or send its text with UTF-8 encoding.")
        except ValidationError as garbled:
            return Passing(
                f"The server's reply is not one of a chat API, {first_problem(garbled)}",
                "Check the base URL and the server.",
            )

    def _silent(self) -> Passing:
        return Passing(f"The server did not answer within {self._timeout:g} s", "Give it a longer timeout.")

    def _broken(self, error: Exception) -> Failure | Passing | InputError:
        """What an error without a status means."""
        if cause(error, OutOfTimeError) is not None:
            return self._silent()
        if (redirect := cause(error, RedirectError)) is not None:
            return ReaderSetupError(
                "base_url",
                f"{self.place} redirects to {redirect}, which is not followed: the key and the texts are for the "
                "address given.",
                "Give that address if you trust it.",
            )
        if (reply := cause(error, ReplyError)) is not None:
            return Unreached(f"The reply of the server at {self.place} {reply}. Check the base URL and the server.")
        if (problem := certificate_problem(error)) is not None:
            return ReaderSetupError(
                "base_url", f"{self.place} {problem}.", "Check the address; SSL_CERT_FILE names further authorities."
            )
        return Passing("There was no connection, or it broke", "Check that the server runs at that address.")

    def _judge(self, fault: Fault, accepted: Accepted, *, weighing: bool) -> Failure | Passing | InputError | Accepted:
        """What an error means: another way to ask, or a fault for ever and all prompts, for ever, or for now."""
        if fault.status in (400, 403, 422) and not fault.moderated:
            better = accepted.after_refusal(fault.parameter, fault.said, self._own, weighing=weighing)
            if better is not None:
                if accepted.top_logprobs and not better.top_logprobs:
                    # The refusal is told here; later questions are not even asked.
                    self._learn(accepted, better)
                    return no_logprobs(self.place, fault.said)
                return better
            if "output limit was reached" in fault.said:
                return no_logprobs(self.place, fault.said) if weighing else Unfinished()
        return meaning(fault, self.model, self.place, self._key_variable)


@dataclass(frozen=True)
class _Question(Generic[T]):
    """A prompt, its longest answer in tokens, how a reply is read, and whether options are weighed by it."""

    prompt: str
    tokens: int
    read: Callable[[Reply], T | Failure]
    weighing: bool = False
