"""The plain routes to values: the records of the command line, over HTTP."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from fastapi import APIRouter
from fastapi import Request as HttpRequest
from fastapi.responses import JSONResponse, Response

from vispa.errors import InputError
from vispa.live.calls import Call
from vispa.modes.checking import checked
from vispa.request import Request
from vispa.serving.answering import log_texts, waited
from vispa.serving.faults import Refusal, refusal_of
from vispa.serving.schemas import SelectBody
from vispa.serving.service import Service


def value_routes(service: Service) -> APIRouter:
    """Selections and values."""
    router = APIRouter(prefix="/v1/vispa", tags=["VISPA"])

    @router.post("/select")
    async def select(body: SelectBody, http: HttpRequest) -> Response:
        """The values that matter most for a text."""
        pipeline = service.pipeline
        asked = Request(body.text, k=body.k, threshold=body.threshold, diversity=body.diversity)
        request = checked(asked, pipeline.taxonomy)
        log_texts(service, http, body.text)

        def record(_: Call) -> dict[str, Any]:
            chosen = pipeline.chooser.select([request])
            (found,) = pipeline.chooser.explain([request.text], chosen) if body.why else chosen
            return pipeline.chooser.record(request.text, found)

        return JSONResponse(await waited(service, http, record, refusal_of))

    @router.get("/values")
    def values() -> list[dict[str, Any]]:
        """All values."""
        taxonomy = service.pipeline.taxonomy
        return [asdict(taxonomy.shown(slug)) for slug in taxonomy]

    @router.get("/values/{name}")
    def value(name: str) -> dict[str, Any]:
        """One value, by slug, label or alias, with its contrastive pairs."""
        try:
            return service.pipeline.taxonomy.record(name)
        except InputError as error:
            # It stands in the path, not in a field of a body.
            words = "There is no such value. /v1/vispa/values lists them all."
            raise Refusal(404, words, param="value", code="value_not_found") from error

    return router
