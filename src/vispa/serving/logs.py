"""One line a request, whatever is in it."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from typing import Any

_logger = logging.getLogger(__name__)

#: Longest text of a user in the log, in characters.
LONGEST = 2_000


def log_request(method: str, route: str, status: int, seconds: float, fields: Mapping[str, Any]) -> None:
    """Log a request that has ended.

    Args:
        method: of HTTP.
        route: its template; never what the client wrote.
        status: of the response.
        seconds: that it took.
        fields: more to say, as JSON can say it.
    """
    more = "".join(f" {name}={json.dumps(given)}" for name, given in fields.items())
    _logger.info("%s %s %d %.3fs%s", method, route, status, seconds, more)


def shown_text(text: str) -> str:
    """A user's text for the log, cut short."""
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}…"
