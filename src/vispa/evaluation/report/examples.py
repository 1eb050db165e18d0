"""Example items of a report, with every method's answer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from vispa.evaluation.answers import answer_position
from vispa.evaluation.report.words import attribute_label, readable
from vispa.evaluation.runs.folder import ItemRecord
from vispa.evaluation.runs.run import Run
from vispa.items.item import Item
from vispa.request import LETTERS

_EXAMPLES = 5
_LONGEST_TEXT = 1200


def spread(items: Sequence[Item]) -> list[Item]:
    """Some items, evenly spaced: neither the best nor the worst ones."""
    places = sorted({int(place) for place in np.linspace(0, len(items) - 1, min(_EXAMPLES, len(items)))})
    return [items[place] for place in places]


def example(run: Run, item: Item) -> dict[str, Any]:
    """An item, its gold and the methods' answers, as the report's template takes them."""
    return {
        "id": item.id,
        "text": cut(item.text),
        "attribute": attribute_label(item.attribute) if item.attribute else "",
        "target": ", ".join(item.vrd) if item.label is not None else "",
        "gold": f"{LETTERS[item.label]}. {item.options[item.label]}" if item.label is not None else "",
        "explanations": [cut(explanation) for explanation in item.explanations],
        "shares": _shares(run, item),
        "answers": [
            {"method": method, "outcome": run.outcome(method, item), **_answer(records.get(item.id), item)}
            for method, records in run.records.items()
        ],
    }


def cut(text: str) -> str:
    """A text that is not too long to be shown, with its length where it was."""
    return text if len(text) <= _LONGEST_TEXT else f"{text[:_LONGEST_TEXT]} … ({len(text):,} characters)"


def _shares(run: Run, item: Item) -> dict[str, Any] | None:
    """Shares of the options, [options] for the gold and for each method; None where there are none."""
    columns: dict[str, Sequence[float]] = {}
    for method, records in run.records.items():
        record = records.get(item.id)
        given = None if record is None else record.distribution
        if given is not None and len(given) == len(item.options):
            columns[method] = given
    if item.gold_distribution is not None:
        columns = {"gold": item.gold_distribution, **columns}
    if not columns:
        return None
    rows = [
        (f"{letter}. {option}", place == item.label, [f"{column[place]:.2f}" for column in columns.values()])
        for place, (letter, option) in enumerate(zip(LETTERS, item.options, strict=False))
    ]
    return {"columns": list(columns), "rows": rows}


def _answer(record: ItemRecord | None, item: Item) -> dict[str, Any]:
    if record is None:
        return {"response": "", "verdict": "", "error": None, "selected": "", "comments": []}
    position = answer_position(record, item)
    response = cut(record.response or "")
    if position is not None:
        chosen = f"{LETTERS[position]}. {item.options[position]}"
        response = chosen if response in ("", item.options[position]) else f"{chosen}: {response}"
    verdict = ""
    if position is not None and item.label is not None:
        verdict = "agrees with the gold" if position == item.label else "differs from the gold"
    return {
        "response": response,
        "verdict": verdict,
        "error": record.error,
        "selected": ", ".join(readable(value) for value in record.values),
        "comments": [
            (readable(comment.value) if comment.value else (comment.source or "comment").rstrip("."), cut(comment.text))
            for comment in record.comments
        ],
    }
