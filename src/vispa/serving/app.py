"""The application: routes, and the layers around them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI
from starlette.middleware.cors import CORSMiddleware

from vispa.serving import faults
from vispa.serving.guard import Gate, Outer
from vispa.serving.life_routes import life_routes
from vispa.serving.model_routes import model_routes
from vispa.serving.openai_routes import openai_routes
from vispa.serving.page_routes import FILES, page_routes
from vispa.serving.service import Service
from vispa.serving.unsteered_routes import unsteered_routes
from vispa.serving.value_routes import value_routes
from vispa.serving.vispa_routes import vispa_routes
from vispa.versions import package_version


def make_app(service: Service) -> FastAPI:
    """The application of a service, which it starts and closes.

    Args:
        service: what the routes share.
    """

    @asynccontextmanager
    async def life(_: FastAPI) -> AsyncIterator[None]:
        service.start()
        yield
        service.close()

    # No page of documentation: it would load scripts from elsewhere. The description itself is at /openapi.json.
    app = FastAPI(
        title="VISPA",
        version=package_version(),
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        lifespan=life,
        responses=faults.REFUSALS,
    )
    for routes in (life_routes, openai_routes, vispa_routes, value_routes, model_routes, unsteered_routes):
        app.include_router(routes(service))
    app.include_router(page_routes())
    faults.install(app)
    # The last one added lies outermost.
    app.add_middleware(Gate, service=service)
    if service.settings.origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=list(service.settings.origins),
            allow_methods=["GET", "POST"],
            # Clients in browsers add their own, as OpenAI's does; none of them lets anybody in but the key.
            allow_headers=["*"],
        )
    app.add_middleware(Outer, service=service, routes={*app.openapi()["paths"], *FILES})
    return app
