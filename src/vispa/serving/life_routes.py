"""Whether the server lives, is ready, and what it does."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter
from fastapi.responses import PlainTextResponse, Response

from vispa.serving.guard import LIVENESS
from vispa.serving.metrics import CONTENT_TYPE
from vispa.serving.service import Service


def life_routes(service: Service) -> APIRouter:
    """Health and figures."""
    router = APIRouter(tags=["life"])

    @router.get(LIVENESS)
    async def live() -> dict[str, str]:
        """The process lives; needs no key."""
        return {"status": "live"}

    @router.get("/health/ready")
    async def ready() -> dict[str, Any]:
        """The model is warm and requests are taken; 503 while it loads and while the server drains."""
        return {"status": "ready", "model": service.pipeline.model.name}

    @router.get("/metrics", response_class=PlainTextResponse)
    async def metrics() -> Response:
        """Figures for Prometheus."""
        return Response(service.figures(), media_type=CONTENT_TYPE)

    return router
