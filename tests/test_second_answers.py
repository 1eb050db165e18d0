"""What the first answer makes is kept: a second one, to another text, opens no file."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from served import embedded_pipeline

from vispa.pipeline import Vispa
from vispa.request import Request
from vispa.taxonomy import Taxonomy

_listeners: list[list[str]] = []


def _heard(event: str, arguments: tuple[Any, ...]) -> None:
    if event == "open":
        for opened in _listeners:
            opened.append(str(arguments[0]))


# A hook stays for as long as the process lives; it listens to nothing where nobody asks.
sys.addaudithook(_heard)


@contextmanager
def opened_files() -> Iterator[list[str]]:
    opened: list[str] = []
    _listeners.append(opened)
    try:
        yield opened
    finally:
        _listeners.remove(opened)


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"k": "auto", "diversity": 0.5},
        {"values": "honor,karma"},
        {"mode": "steerable", "toward": "benevolence"},
        {"mode": "distributional", "options": "Yes|No"},
        {"mode": "distributional", "options": "Yes|No", "passages": False},
    ],
)
def test_a_second_answer_opens_no_file(fields: dict[str, Any]) -> None:
    vispa = embedded_pipeline()
    vispa.respond_many([Request("Telling a friend a comforting lie", **fields)], max_new_tokens=4)
    with opened_files() as opened:
        vispa.respond_many([Request("Keeping a promise that hurts", **fields)], max_new_tokens=4)
    assert opened == []


@pytest.mark.parametrize("polarity", ["own", "paper"])
def test_stances_of_a_second_text_read_no_taxonomy(polarity: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    vispa = Vispa.from_pretrained("embedded", polarity=polarity)
    selector = vispa.chooser.selector
    first = selector.stances(["Telling a friend a comforting lie"])
    monkeypatch.setattr(Taxonomy, "built_in", lambda *_: pytest.fail("The taxonomy was read again."))
    assert (selector.stances(["Telling a friend a comforting lie"]) == first).all()
    assert selector.stances([]).shape == (0, len(vispa.taxonomy))
