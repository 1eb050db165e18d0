"""A comment of somebody else than the steered model, and where such comments come from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from vispa.errors import InputError
from vispa.files.append_log import Identifier
from vispa.items.item import Item
from vispa.modes.prompts import Prompts
from vispa.readers.base import Failure
from vispa.request import LETTERS, Sampling


@dataclass(frozen=True)
class Voice:
    """One comment and who speaks.

    Attributes:
        name: what the speaker is called in a response.
        text: the comment.
        source: goes into the record: the persona, the model or the file.
        tokens: generated for it.
        prompt: what the model under test continued; None for comments that come from elsewhere.
    """

    name: str
    text: str
    source: str
    tokens: int = 0
    prompt: str | None = None


class Community(Protocol):
    """Comments from elsewhere.

    Attributes:
        settings: what determines the comments, as JSON can say it.
    """

    settings: dict[str, Any]

    def comments(self, items: Sequence[Item], prompts: Prompts, sampling: Sampling) -> list[list[Voice] | Failure]:
        """For each item one comment of every member, or why there is none."""
        ...


def check_count(count: int, place: str) -> None:
    """Refuse more community models than options have letters."""
    if not 1 <= count <= len(LETTERS):
        raise InputError(place, f"names {count} community models.", f"Give 1 to {len(LETTERS)}.")


def item_key(item: Item) -> tuple[bool, Identifier]:
    """The number 1 and the text "1" are different identifiers."""
    return isinstance(item.id, str), item.id
