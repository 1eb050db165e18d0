"""What a chat API sends, and what is read from it."""

from __future__ import annotations

import math
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, Field, ValidationError, model_validator

from vispa.errors import InputError
from vispa.files.wanted import wanted
from vispa.generation.letters import letter_masses
from vispa.generation.thoughts import without_thoughts
from vispa.readers.base import Distribution, Failure, Limited, Unfinished, Unweighable
from vispa.readers.weighing import weighed
from vispa.request import LEAST_OPTION_MASS


def _impossible_if_null(logprob: Any) -> Any:
    """JSON has no infinity, so that servers write null for what has no probability."""
    return -math.inf if logprob is None else logprob


class _Token(BaseModel):
    token: str
    # Above 0 by rounding only; the bound also keeps NaN out.
    logprob: Annotated[float, BeforeValidator(_impossible_if_null), Field(le=0.01)]


class _Position(BaseModel):
    top_logprobs: list[_Token] | None = None


class _Logprobs(BaseModel):
    content: list[_Position] | None = None


class _WeighedChoice(BaseModel):
    logprobs: _Logprobs | None = None


class _Weighed(BaseModel):
    """What is read of a reply where options are weighed."""

    choices: list[_WeighedChoice]


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


class _WrittenChoice(BaseModel):
    message: _Message
    finish_reason: str | None = None

    @model_validator(mode="before")
    @classmethod
    def _nothing_for_a_reason(cls, choice: dict[str, Any]) -> dict[str, Any]:
        """Some servers leave out what is null; without a reason for saying nothing a field is missing."""
        message = choice.get("message")
        ended = choice.get("finish_reason") in ("length", "content_filter")
        if isinstance(message, dict) and (ended or message.get("refusal")):
            return {**choice, "message": {"content": None, **message}}
        return choice


class _Written(BaseModel):
    """What is read of a reply where a text is wanted."""

    choices: list[_WrittenChoice]


class Reply(BaseModel):
    """The part of a chat completion that is read here; what is in a choice is checked where it is wanted."""

    choices: Annotated[list[dict[str, Any]], Field(min_length=1)]

    @property
    def error(self) -> Any:
        """Why the model stopped half-way, where a gateway learns of it after it began to reply."""
        return self.choices[0].get("error")


class _Envelope(BaseModel):
    """Any reply, before it is known whether it is one of a chat."""

    error: Any = None


def reply_or_error(body: bytes) -> tuple[Reply, None] | tuple[None, Any]:
    """The reply that a body with HTTP status 200 holds, or the error that it holds instead, as the server wrote it.

    Raises:
        ValidationError: it holds neither.
    """
    if error := _Envelope.model_validate_json(body).error:
        return None, error
    reply = Reply.model_validate_json(body)
    return (None, reply.error) if reply.error else (reply, None)


def first_problem(error: ValidationError) -> str:
    """Where the first thing wrong with a reply is, without the reply itself."""
    first = error.errors(include_input=False, include_url=False)[0]
    where = ".".join(map(str, first["loc"])) or "body"
    if first["type"] == "missing":
        return f"{where} is missing"
    words = wanted(first)
    return f"{where}: {first['msg']}" if words is None else f"{where} should be {words}"


def answer_of(reply: Reply) -> str | Failure:
    """What the model answered, without what it thought before.

    Raises:
        ValidationError: there is no text to be read, nor a reason for that.
    """
    choice = _Written.model_validate({"choices": reply.choices[:1]}).choices[0]
    text = without_thoughts(choice.message.text)
    if text:
        return Limited(text) if choice.finish_reason == "length" else text
    if text is None or choice.finish_reason == "length":
        return Unfinished()
    if choice.message.refusal or choice.finish_reason == "content_filter":
        return Failure("The model or its server refused to answer. Change the prompt, or choose another model.")
    return Failure("The model wrote nothing. Change the prompt, or choose another model.")


def distribution_of(
    reply: Reply, *, count: int, place: str, least: float = LEAST_OPTION_MASS
) -> Distribution | Failure:
    """Probabilities [count] of the first letters by the likely tokens of the reply's first position.

    Args:
        reply: to a prompt that ends where a letter is due.
        count: number of options.
        place: of the server, for messages.
        least: what the letters must hold together.

    Raises:
        ValidationError: the probabilities are none.
    """
    logprobs = _Weighed.model_validate({"choices": reply.choices[:1]}).choices[0].logprobs
    positions = logprobs.content if logprobs else None
    likely = positions[0].top_logprobs if positions else None
    if not likely:
        return no_logprobs(place)
    # Above 0 by rounding only.
    return weighed(letter_masses(((entry.token, math.exp(min(entry.logprob, 0.0))) for entry in likely), count), least)


def no_logprobs(place: str, said: str = "") -> Unweighable:
    """What an option question gets from a server that gives no probabilities.

    Args:
        place: of the server.
        said: what it said, after a colon.
    """
    return Unweighable(
        f"The server at {place} returns no logprobs{said}. Options cannot be weighed without them: use a local "
        "model as the aggregating model, or a model and server that return logprobs."
    )


def no_likelihoods() -> InputError:
    """What is raised where an API is asked for the likelihood of given words."""
    return InputError(
        "option_reading",
        "is words, but a chat API tells no likelihood of a text that it is given.",
        "Choose letters, cyclic or calibrated, or a local model to read options.",
    )
