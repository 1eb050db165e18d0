"""What the routes give, in the words of the command line's `--json`."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from vispa.live.calls import Call
from vispa.readers.base import Failure
from vispa.records import Response, Selection
from vispa.taxonomy import Taxonomy


def usage(call: Call) -> dict[str, int]:
    """What a call took, in tokens, as OpenAI's clients read it."""
    total = call.prompt_tokens + call.generated_tokens
    return {"prompt_tokens": call.prompt_tokens, "completion_tokens": call.generated_tokens, "total_tokens": total}


def item_record(identifier: str | int, answer: Response | Failure) -> dict[str, Any]:
    """An answer of a batch, as `vispa batch` writes it."""
    if isinstance(answer, Failure):
        return {"id": identifier, "error": answer.reason}
    return {"id": identifier, **answer.model_dump(mode="json", exclude={"provenance": {"timings"}})}


def selection_record(text: str, values: tuple[Selection, ...], selector: str) -> dict[str, Any]:
    """The values of a text, as `vispa select --json` prints them."""
    return {"text": text, "values": [one.model_dump() for one in values], "selector": selector}


def value_record(taxonomy: Taxonomy, name: str) -> dict[str, Any]:
    """A value with its pairs, as `vispa values SLUG --json` prints it."""
    value = taxonomy[name]
    return {**asdict(value), "pairs": [asdict(pair) for pair in taxonomy.pairs(value.slug)]}
