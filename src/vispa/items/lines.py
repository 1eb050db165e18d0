"""Answers of a file's items as the lines that are kept of them."""

from __future__ import annotations

import json
from typing import Any

from vispa.items.item import Item
from vispa.readers.base import Failure
from vispa.records import Response


def record_line(item: Item, response: Response | Failure) -> bytes:
    """An answer as a JSON line; timings are left out, because they differ between runs.

    An item whose aggregating model failed has the fields `id` and `error`.
    """
    return json.dumps(answer_record(item.id, response), ensure_ascii=False).encode() + b"\n"


def answer_record(identifier: str | int, response: Response | Failure) -> dict[str, Any]:
    """An answer as JSON can say it; see `record_line`."""
    if isinstance(response, Failure):
        return {"id": identifier, "error": response.reason}
    return {"id": identifier, **response.model_dump(mode="json", exclude={"provenance": {"timings"}})}
