"""The routes that OpenAI's clients know."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response

from vispa.errors import InputError
from vispa.live.calls import Call
from vispa.live.events import Event
from vispa.records import Response as Answer
from vispa.serving.answering import STREAMS, Sent, log_texts, streamed, waited
from vispa.serving.asking import (
    MODELS,
    Job,
    asked_request,
    comment_wording,
    conversation,
    model_mode,
    prepared,
    sampling_of,
)
from vispa.serving.faults import Refusal, refusal_of
from vispa.serving.records import usage
from vispa.serving.schemas import ChatBody, CompletionBody, OpenAIBody
from vispa.serving.service import Service
from vispa.serving.telling import told_of


def openai_routes(service: Service) -> APIRouter:
    """Models, chats and completions."""
    router = APIRouter(prefix="/v1", tags=["OpenAI"])

    @router.get("/models")
    def models() -> dict[str, Any]:
        """The names that the served model goes by."""
        about = told_of(service.pipeline, service.polarity)
        return {"object": "list", "data": [_model(service, name, about) for name in MODELS]}

    @router.get("/models/{model}")
    def model(model: str) -> dict[str, Any]:
        """One of them."""
        if model not in MODELS:
            raise Refusal(404, "There is no such model.", param="model", code="model_not_found")
        return _model(service, model, told_of(service.pipeline, service.polarity))

    @router.post("/chat/completions", responses=STREAMS)
    async def chat(body: ChatBody, http: Request) -> Response:
        """The answer to the last turn of a conversation."""
        text = f"messages.{len(body.messages) - 1}.content"
        limit = "max_completion_tokens" if body.max_completion_tokens else "max_tokens"
        translate = partial(_refusal, text=text, limit=limit, is_first=len(body.messages) == 1)
        tokens = getattr(body, limit)
        shape = _Shape(body, "chat.completion", "chatcmpl")

        def work() -> Job:
            situation, prompt = conversation(body.messages, comment_wording(service.pipeline.prompts, body.vispa))
            return _job(service, body, situation, tokens, prompt)

        return await _answered(service, http, work, shape, translate)

    @router.post("/completions", responses=STREAMS)
    async def completions(body: CompletionBody, http: Request) -> Response:
        """The answer to a text."""
        translate = partial(_refusal, text="prompt")
        shape = _Shape(body, "text_completion", "cmpl")
        return await _answered(service, http, lambda: _job(service, body, body.text, body.max_tokens), shape, translate)

    return router


class _Shape:
    """An answer as OpenAI's clients read it, whole or in chunks.

    Args:
        body: that asked.
        kind: name of the whole object.
        prefix: of its identifier.
    """

    def __init__(self, body: OpenAIBody, kind: str, prefix: str) -> None:
        self.kind, self.is_chat, self.body = kind, kind.startswith("chat"), body
        self.head = {"id": f"{prefix}-{secrets.token_hex(12)}", "created": int(time.time()), "model": body.model}
        self._begun = False

    def whole(self, answer: Answer, call: Call) -> dict[str, Any]:
        """All of it."""
        said: dict[str, Any] = (
            {"message": {"role": "assistant", "content": answer.response, "refusal": None}}
            if self.is_chat
            else {"text": answer.response}
        )
        choice = {"index": 0, **said, "logprobs": None, "finish_reason": _reason(answer)}
        record = answer.model_dump(mode="json")
        return {**self.head, "object": self.kind, "choices": [choice], "usage": usage(call), "vispa": record}

    def told(self, event: Event) -> Iterable[Sent]:
        """Chunks of an event, which a plain client does not see."""
        yield from self._opening()
        yield None, self._chunk({}, None, event.model_dump(mode="json"))

    def ended(self, answer: Answer, call: Call) -> Iterable[Sent]:
        """The last chunks: the response, how it ended, and what it took."""
        yield from self._opening()
        yield None, self._chunk({"content": answer.response}, None, None)
        record = {"event": "response", "answer": answer.model_dump(mode="json")}
        yield None, self._chunk({}, _reason(answer), record)
        if self.body.stream_options is not None and self.body.stream_options.include_usage:
            yield None, {**self.head, "object": self._chunk_kind, "choices": [], "usage": usage(call)}

    def _opening(self) -> Iterable[Sent]:
        """Who speaks, once: clients put the deltas of all chunks together, and a role said twice becomes another."""
        if self.is_chat and not self._begun:
            self._begun = True
            yield None, self._chunk({"role": "assistant", "content": ""}, None, None)

    @property
    def _chunk_kind(self) -> str:
        return "chat.completion.chunk" if self.is_chat else self.kind

    def _chunk(self, delta: dict[str, str], reason: str | None, more: dict[str, Any] | None) -> dict[str, Any]:
        said: dict[str, Any] = {"delta": delta} if self.is_chat else {"text": delta.get("content", "")}
        choice = {"index": 0, **said, "logprobs": None, "finish_reason": reason}
        extra = {} if more is None else {"vispa": more}
        return {**self.head, "object": self._chunk_kind, "choices": [choice], **extra}


async def _answered(
    service: Service,
    http: Request,
    prepare: Callable[[], Job],
    shape: _Shape,
    translate: Callable[[BaseException], Refusal],
) -> Response:
    _ = service.pipeline
    try:
        job = await service.quick(prepare)
    except Exception as error:
        raise translate(error) from error
    log_texts(service, http, job.requests[0].text)
    work = partial(service.answer, job)
    if shape.body.stream:
        return streamed(service, http, work, shape.told, shape.ended, translate)

    def whole(call: Call) -> dict[str, Any]:
        return shape.whole(work(call), call)

    return JSONResponse(await waited(service, http, whole, translate))


def _job(service: Service, body: OpenAIBody, text: str, tokens: int | None, prompt: str | None = None) -> Job:
    also: dict[str, Any] = {"temperature": body.temperature, "top_p": body.top_p, "seed": body.seed}
    sampling = sampling_of(body.vispa.sampling, service.settings.max_new_tokens, max_tokens=tokens, **also)
    request = asked_request(body.vispa, text, model_mode(body), prompt)
    return prepared(service.pipeline, body.vispa, [request], sampling, service.polarity)


def _refusal(error: BaseException, text: str, limit: str = "max_tokens", *, is_first: bool = True) -> Refusal:
    """What a client is told of an error.

    Args:
        error: raised while its request was answered.
        text: path of the text.
        limit: the parameter of OpenAI's that limits the comments' length.
        is_first: nothing was said before the text.
    """
    if isinstance(error, InputError) and error.field == "max_tokens":
        return refusal_of(InputError(limit, error.problem, error.advice))
    if isinstance(error, InputError) and (error.field == "messages" or (error.field == "prompt" and not is_first)):
        # What was said before is part of the prompt.
        return refusal_of(InputError("messages", error.problem, error.advice))
    return refusal_of(error, "vispa.", text)


def _reason(answer: Answer) -> str:
    return "length" if getattr(answer, "ending", "own") != "own" else "stop"


def _model(service: Service, name: str, about: dict[str, Any]) -> dict[str, Any]:
    return {"id": name, "object": "model", "created": service.started, "owned_by": "vispa", "vispa": about}
