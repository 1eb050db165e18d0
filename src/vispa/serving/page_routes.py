"""The page: a few files of this package, under a closed list of paths."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from fastapi import APIRouter
from fastapi.responses import FileResponse, Response

#: Where the page's build lies; its sources are in the repository's folder `page`.
FOLDER = Path(__file__).with_name("page")
#: Path → file and kind. They hold nothing but the page, and need no key: it asks for one.
FILES = {
    "/": ("index.html", "text/html"),
    "/assets/app.js": ("assets/app.js", "text/javascript"),
    "/assets/app.css": ("assets/app.css", "text/css"),
    "/assets/icon.svg": ("assets/icon.svg", "image/svg+xml"),
}
#: What the page may load: what this server gives, and nothing that stands in its own markup.
POLICY = "default-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; object-src 'none'"


def page_routes() -> APIRouter:
    """The page's files."""
    router = APIRouter(include_in_schema=False)
    for path, (name, kind) in FILES.items():
        router.add_api_route(path, _giving(FOLDER / name, kind), methods=["GET"])
    return router


def _giving(path: Path, kind: str) -> Callable[[], Response]:
    def give() -> Response:
        headers = {"Content-Security-Policy": POLICY, "Cache-Control": "no-cache"}
        return FileResponse(path, media_type=kind, headers=headers)

    return give
