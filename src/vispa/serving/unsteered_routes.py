"""The route to what the plain model says, for comparison."""

from __future__ import annotations

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response

from vispa.live.calls import Call
from vispa.live.watching import watched
from vispa.modes.unsteered import UnsteeredAnswer, unsteered_answer
from vispa.request import check_text
from vispa.serving.answering import STREAMS, ended, log_texts, streamed, told, waited
from vispa.serving.asking import sampling_of
from vispa.serving.faults import refusal_of
from vispa.serving.schemas import UnsteeredBody
from vispa.serving.service import Service


def unsteered_routes(service: Service) -> APIRouter:
    """The unsteered model."""
    router = APIRouter(prefix="/v1/vispa", tags=["VISPA"])

    @router.post("/unsteered", responses=STREAMS)
    async def unsteered(body: UnsteeredBody, http: Request) -> Response:
        """What the plain model says to the same request for a comment; with `stream` as it comes."""
        pipeline = service.pipeline
        sampling = sampling_of(body.sampling, service.settings.max_new_tokens)
        check_text(body.text)
        if body.prompt is not None:
            check_text(body.prompt, "prompt")
        log_texts(service, http, body.text)

        def work(call: Call) -> UnsteeredAnswer:
            with watched(pipeline, call, service.scheduler) as mine:
                return unsteered_answer(mine.engine, mine.prompts, body.text, sampling, body.prompt)

        if body.stream:
            return streamed(service, http, work, told, ended, refusal_of)
        answer: UnsteeredAnswer = await waited(service, http, work, refusal_of)
        return JSONResponse(answer.model_dump(mode="json"))

    return router
