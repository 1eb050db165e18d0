"""Any chat model behind an OpenAI-compatible API as the aggregating model.

Requests run in a few threads. What may pass (a full server, a lost connection, a garbled body) is
tried again with growing pauses; what stays broken is the failure of that one prompt; what would
break every prompt (a wrong key, an unknown model) stops the whole call.
"""

from __future__ import annotations

import math
import os
import random
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from functools import partial
from threading import Event
from typing import TYPE_CHECKING, Annotated, Any, TypeVar
from urllib.parse import urlsplit

import numpy as np
from pydantic import BaseModel, Field, ValidationError

from vispa.errors import InputError
from vispa.generation.letters import letter_masses
from vispa.generation.thoughts import without_thoughts
from vispa.readers.base import Distribution, Failure, Progress, Unfinished, Unweighable
from vispa.readers.weighing import weighed
from vispa.request import LETTERS

if TYPE_CHECKING:
    import openai

T = TypeVar("T")

# Longest pause between two tries that is chosen here, and longest that a server may ask for, in seconds.
_LONGEST_BACKOFF = 30.0
_LONGEST_RETRY_AFTER = 120.0
# Statuses that may pass, besides 500 and above.
_PASSING = frozenset({408, 409, 429})
# Local servers take any key, but the client insists on one.
_NO_KEY = "no-key-is-needed"


class ApiChat:
    """A `ChatModel` that is asked over HTTP.

    Prompts are sent as the message of a user at temperature 0; the server puts them in the model's
    chat template, option prompts too. The key is read from the environment and appears in no
    message.

    Args:
        model: the model's name at the server.
        base_url: address of the API, `/v1` included; `OPENAI_BASE_URL` or OpenAI's own by default.
        key_variable: environment variable that holds the key; empty for servers that need none.
        timeout: longest silence of the server within a try, in seconds.
        retries: further tries after the first.
        concurrency: requests at the same time.
        backoff: pause before the second try, in seconds; doubles with every try.
        top_logprobs: how many likely tokens are asked for when options are weighed.

    Raises:
        InputError: the client library or the key is missing, or an argument is unusable.
    """

    def __init__(
        self,
        model: str,
        *,
        base_url: str | None = None,
        key_variable: str = "OPENAI_API_KEY",
        timeout: float = 60.0,
        retries: int = 5,
        concurrency: int = 8,
        backoff: float = 0.5,
        top_logprobs: int = 20,
    ) -> None:
        if not model.strip():
            raise InputError("model", "of the API is empty.", "Give the model's name at the server.")
        for field, number, least in (
            ("timeout", timeout, 1e-3),
            ("retries", retries, 0),
            ("concurrency", concurrency, 1),
            ("backoff", backoff, 0),
            ("top_logprobs", top_logprobs, 1),
        ):
            if not number >= least:
                raise InputError(field, f"is {number}.", f"Give a number of at least {least}.")
        try:
            import openai
        except ImportError:
            raise InputError(
                "model", "of an API needs the `openai` library.", "Run `pip install vispa[api]`."
            ) from None
        address = base_url or os.environ.get("OPENAI_BASE_URL") or "https://api.openai.com/v1"
        self.name = model
        self.place = _place(address)
        self._key_variable, self._key = key_variable, _key(key_variable)
        self._timeout, self._retries, self._concurrency = timeout, retries, concurrency
        self._backoff, self._top_logprobs = backoff, top_logprobs
        # The client's own retries leave out garbled bodies, so all tries are counted here instead.
        self._client = openai.OpenAI(api_key=self._key, base_url=address, timeout=timeout, max_retries=0)

    def __repr__(self) -> str:
        return f"ApiChat({self.name!r}, base_url={self.place!r})"

    def write(
        self, prompts: Sequence[str], *, max_new_tokens: int = 300, progress: Progress | None = None
    ) -> list[str | Failure]:
        """See `ChatModel.write`.

        Raises:
            InputError: the server refuses the key, or does not know the model.
        """
        return self._run([partial(self._ask, p, _text, {"max_tokens": max_new_tokens}) for p in prompts], progress)

    def option_probabilities(
        self, prompts: Sequence[str], counts: Sequence[int], *, progress: Progress | None = None
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
        jobs = [partial(self._weigh, prompt, count) for prompt, count in zip(prompts, counts, strict=True)]
        return self._run(jobs, progress)

    def _weigh(self, prompt: str, count: int, stop: Event) -> Distribution | Failure:
        if count == 1:
            return np.ones(1)
        options = {"max_tokens": 1, "logprobs": True, "top_logprobs": self._top_logprobs}
        return self._ask(prompt, partial(_distribution, count=count, place=self.place), options, stop)

    # ---------------------------------------------------------------- many requests

    def _run(self, jobs: Sequence[Callable[[Event], T | Failure]], progress: Progress | None) -> list[T | Failure]:
        """Results in the order of the jobs; an error of one ends all."""
        stop = Event()
        pool = ThreadPoolExecutor(self._concurrency)
        try:
            futures = [pool.submit(job, stop) for job in jobs]
            for future in as_completed(futures):
                future.result()
                if progress is not None:
                    progress(1)
            return [future.result() for future in futures]
        finally:
            # On an error or Ctrl-C: no new requests, pauses end at once, running ones are not waited for.
            stop.set()
            pool.shutdown(wait=False, cancel_futures=True)

    # ---------------------------------------------------------------- one request

    def _ask(
        self, prompt: str, read: Callable[[_Reply], T | Failure], options: Mapping[str, Any], stop: Event
    ) -> T | Failure:
        """The first usable reply to a prompt, or why there is none."""
        attempt = 0
        while isinstance(outcome := self._try(prompt, read, options), _Passing):
            attempt += 1
            tries = f"(HTTP API at {self.place}, {attempt} {'try' if attempt == 1 else 'tries'})"
            if outcome.wait > _LONGEST_RETRY_AFTER:
                return Failure(f"{outcome.problem}, and asks to wait {outcome.wait:.0f} s {tries}. Run again later.")
            if attempt > self._retries or stop.wait(_pause(attempt, self._backoff, outcome.wait)):
                return Failure(f"{outcome.problem} {tries}. {outcome.advice}")
        return outcome

    def _try(
        self, prompt: str, read: Callable[[_Reply], T | Failure], options: Mapping[str, Any]
    ) -> T | Failure | _Passing:
        """One request.

        Raises:
            InputError: every other request would fail in the same way.
        """
        import openai

        request: dict[str, Any] = {
            "model": self.name,
            "messages": [{"role": "user", "content": prompt}],
            "temperature": 0,
            **options,
        }
        verdict: Failure | _Passing | InputError
        try:
            # The body is read here and not by the client, which lets replies with missing fields through.
            response = self._client.chat.completions.with_raw_response.create(**request)
            return read(_Reply.model_validate_json(response.content))
        except openai.APIStatusError as error:
            verdict = self._judge(error, weighing="logprobs" in options)
        except openai.APITimeoutError:
            verdict = _Passing(f"The server did not answer within {self._timeout:g} s", "Give it a longer timeout.")
        except openai.APIConnectionError:
            verdict = _Passing("There was no connection, or it broke", "Check that the server runs at that address.")
        except UnicodeEncodeError:
            verdict = Failure("The prompt is not valid Unicode. Save or send its text with UTF-8 encoding.")
        except ValidationError as error:
            verdict = _Passing(
                f"The server's reply is not one of a chat API, {_first_problem(error)}",
                "Check the base URL and the server.",
            )
        # Raised out here, so that no traceback leads to the client's request with the key in its headers.
        if isinstance(verdict, InputError):
            raise verdict
        return verdict

    def _judge(self, error: openai.APIStatusError, *, weighing: bool) -> Failure | _Passing | InputError:
        """What an HTTP error means: for ever and for all prompts, for ever, or for now."""
        status, said = error.status_code, self._words(error)
        if weighing and status in (400, 403, 422) and "logprob" in said.lower():
            return _no_logprobs(self.place, said)
        if status == 401 and self._key_variable:
            return InputError(
                self._key_variable, f"holds a key that {self.place} refuses (401).", "Put a valid one in."
            )
        if status == 401:
            return InputError("key_variable", f"is empty, but {self.place} wants a key (401).", "Name the variable.")
        if status == 403:
            return InputError("model", f"{self.name} is not allowed for this key at {self.place} (403){said}.", _CHECK)
        if status == 404:
            return InputError("model", f"{self.name} is not known at {self.place} (404){said}.", _CHECK)
        problem = f"The server failed with HTTP status {status}{said}"
        if status in _PASSING or status >= 500:
            return _Passing(problem, "Run again later, or with less concurrency.", _retry_after(error.response.headers))
        return Failure(f"{problem} (HTTP API at {self.place}). Change the prompt, or choose another model.")

    def _words(self, error: openai.APIStatusError) -> str:
        """What the server says about an error, short, on one line and without the key."""
        body = error.body
        message = body.get("message") if isinstance(body, dict) else body
        words = " ".join(str(message or "").replace(self._key, "[key]").split())
        words = "".join(filter(str.isprintable, words))
        return f": {words[:200].rstrip('.')}" if words else ""


_CHECK = "Check the model's name, the base URL and what the key may use."


@dataclass(frozen=True)
class _Passing:
    """Why a try failed, where another may work; `wait` is what the server asks for, in seconds."""

    problem: str
    advice: str
    wait: float = 0.0


def _pause(attempt: int, backoff: float, wait: float) -> float:
    """Seconds before the next try: at least what the server asks for, and never the same in all threads."""
    return wait + random.uniform(0.5, 1) * min(backoff * 2.0 ** (attempt - 1), _LONGEST_BACKOFF)


def _retry_after(headers: Mapping[str, str]) -> float:
    """Seconds of a Retry-After header, which is a number or a date (RFC 9110, section 10.2.3); 0 without one."""
    value = headers.get("retry-after", "")
    try:
        seconds = float(value) if not value[:1].isalpha() else parsedate_to_datetime(value).timestamp() - time.time()
    except ValueError:
        return 0.0
    return max(0.0, seconds)


def _key(variable: str) -> str:
    """The key that a variable of the environment holds."""
    if not variable:
        return _NO_KEY
    key = os.environ.get(variable, "").strip()
    if not key:
        raise InputError(variable, "is not set.", "Put the API's key in this environment variable.")
    # Such a key would end up in the message of the HTTP library's error.
    if not key.isascii() or not key.isprintable() or " " in key:
        raise InputError(variable, "holds characters that no key has.", "Put the API's key, and nothing else, in it.")
    return key


def _place(address: str) -> str:
    """An address as it may be shown: without user, password and query."""
    try:
        parts = urlsplit(address)
        host, port = parts.hostname, parts.port
    except ValueError:
        host = None
    if not host or parts.scheme not in ("http", "https"):
        raise InputError("base_url", "is not an http address.", "Give one such as http://localhost:8000/v1.")
    host = f"[{host}]" if ":" in host else host
    return f"{parts.scheme}://{host}{f':{port}' if port else ''}{parts.path.rstrip('/')}"


# ---------------------------------------------------------------- what a server sends


class _Token(BaseModel):
    token: str
    # Above 0 by rounding only; the bound also keeps NaN out.
    logprob: Annotated[float, Field(le=0.01)]


class _Position(BaseModel):
    top_logprobs: list[_Token] | None = None


class _Logprobs(BaseModel):
    content: list[_Position] | None = None


class _Part(BaseModel):
    """One of the parts that some servers send a message in; thoughts come in parts of another type."""

    type: str
    text: str | None = None


class _Message(BaseModel):
    """A message; thoughts that a server sends in a field of their own are left out with all unknown fields."""

    content: str | list[_Part] | None
    refusal: str | None = None

    @property
    def text(self) -> str:
        if isinstance(self.content, list):
            return "".join(part.text or "" for part in self.content if part.type == "text")
        return self.content or ""


class _Choice(BaseModel):
    message: _Message
    finish_reason: str | None = None
    logprobs: _Logprobs | None = None


class _Reply(BaseModel):
    choices: Annotated[list[_Choice], Field(min_length=1)]


def _first_problem(error: ValidationError) -> str:
    """Where the first thing wrong with a reply is, without the reply itself."""
    first = error.errors(include_input=False, include_url=False, include_context=False)[0]
    where = ".".join(map(str, first["loc"])) or "body"
    return f"{where}: {first['msg']}"


def _text(reply: _Reply) -> str | Failure:
    """What the model answered, without what it thought before."""
    choice = reply.choices[0]
    text = without_thoughts(choice.message.text)
    if text:
        return text
    if text is None or choice.finish_reason == "length":
        return Unfinished()
    if choice.message.refusal or choice.finish_reason == "content_filter":
        return Failure("The model or its server refused to answer. Change the prompt, or choose another model.")
    return Failure("The model wrote nothing. Change the prompt, or choose another model.")


def _distribution(reply: _Reply, *, count: int, place: str) -> Distribution | Failure:
    """Probabilities [count] of the first letters by the likely tokens of the reply's first position."""
    logprobs = reply.choices[0].logprobs
    positions = logprobs.content if logprobs else None
    likely = positions[0].top_logprobs if positions else None
    if not likely:
        return _no_logprobs(place)
    # Above 0 by rounding only.
    return weighed(letter_masses(((entry.token, math.exp(min(entry.logprob, 0.0))) for entry in likely), count))


def _no_logprobs(place: str, said: str = "") -> Unweighable:
    return Unweighable(
        f"The server at {place} returns no logprobs{said}. Options cannot be weighed without them: use a local "
        "model as the aggregating model, or a model and server that return logprobs."
    )
