"""What is told of an answer while it is made."""

from __future__ import annotations

from typing import Literal

from vispa.records import Record, Response, Selection


class Selected(Record):
    """The values of a text are chosen.

    Attributes:
        event: always `selection`.
        values: most relevant first.
    """

    event: Literal["selection"] = "selection"
    values: tuple[Selection, ...]


class Said(Record):
    """A comment has grown.

    The pieces of a comment together are what the model wrote. The comment of the answer may end earlier, at a full
    sentence.

    Attributes:
        event: always `comment`.
        value: slug of the value that the comment speaks for.
        text: what is new.
    """

    event: Literal["comment"] = "comment"
    value: str
    text: str


class Unsteered(Record):
    """What the plain model says has grown; its pieces are as those of `Said`.

    Attributes:
        event: always `unsteered`.
        text: what is new.
    """

    event: Literal["unsteered"] = "unsteered"
    text: str


class Answered(Record):
    """The answer is there.

    Attributes:
        event: always `response`.
        answer: its record.
    """

    event: Literal["response"] = "response"
    answer: Response


Event = Selected | Said | Unsteered | Answered
