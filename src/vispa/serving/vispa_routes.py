"""The plain routes: the records of the command line, over HTTP."""

from __future__ import annotations

from functools import partial
from typing import Any

from fastapi import APIRouter
from fastapi import Request as HttpRequest
from fastapi.responses import JSONResponse, Response

from vispa.items.answering import responder
from vispa.items.lines import answer_record
from vispa.live.calls import Call
from vispa.live.watching import watched
from vispa.serving.answering import STREAMS, ended, log_texts, streamed, told, waited
from vispa.serving.asking import Job, asked_request, prepared, sampling_of
from vispa.serving.faults import refusal_of
from vispa.serving.schemas import BatchBody, RespondBody
from vispa.serving.service import Service


def vispa_routes(service: Service) -> APIRouter:
    """Answers to one text and to several."""
    router = APIRouter(prefix="/v1/vispa", tags=["VISPA"])

    @router.post("/respond", responses=STREAMS)
    async def respond(body: RespondBody, http: HttpRequest) -> Response:
        """The answer to one text: its record, or with `stream` what happens until it is there."""

        def prepare() -> Job:
            sampling = sampling_of(body.sampling, service.settings.max_new_tokens)
            return prepared(service.pipeline, body, [asked_request(body, body.text)], sampling, service.polarity)

        job = await service.quick(prepare)
        log_texts(service, http, body.text)
        work = partial(service.answer, job)
        if body.stream:
            return streamed(service, http, work, told, ended, refusal_of)

        def record(call: Call) -> dict[str, Any]:
            return work(call).model_dump(mode="json")

        return JSONResponse(await waited(service, http, record, refusal_of))

    @router.post("/batch")
    async def batch(body: BatchBody, http: HttpRequest) -> Response:
        """The answers to several texts, whose comments run together; what has none says why in `error`."""

        def prepare() -> Job:
            sampling = sampling_of(body.sampling, service.settings.max_new_tokens)
            requests = [asked_request(item, item.text) for item in body.items]
            return prepared(service.pipeline, body, requests, sampling, service.polarity)

        job = await service.quick(prepare)
        log_texts(service, http, *(item.text for item in body.items))

        def records(call: Call) -> list[dict[str, Any]]:
            with watched(job.pipeline, call, service.scheduler, service.readers) as pipeline:
                answers = responder(pipeline, job.sampling)(job.requests)
            names = [number if item.id is None else item.id for number, item in enumerate(body.items)]
            return [answer_record(name, answer) for name, answer in zip(names, answers, strict=True)]

        return JSONResponse({"items": await waited(service, http, records, refusal_of)})

    return router
