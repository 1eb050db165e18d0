"""What is asked for an item of a task: its case, its request, its wording."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from vispa.evaluation.items import TaskItem
from vispa.modes.case import Case
from vispa.modes.prompts import Prompts
from vispa.modes.questions import question_stem, target_in_words
from vispa.records import Comment
from vispa.request import STANCE_OPTIONS, Request

#: Attributes of distributional items that name no country: MoralChoice's.
NO_COUNTRY = ("low_ambiguity", "high_ambiguity")
# What a text ends in after which a letter is due.
_LETTER_DUE = "Answer:"


def situation(item: TaskItem) -> str:
    """The item's text without options."""
    return item.text if item.mode == "overton" else question_stem(item.text)


def target(item: TaskItem) -> str | None:
    """Toward what a steerable item is answered: its value, right or duty, else its attribute."""
    if item.mode != "steerable":
        return None
    return ", ".join(item.vrd) or item.attribute


def country(item: TaskItem) -> str | None:
    """Whose people a distributional item asks."""
    named = item.mode == "distributional" and item.attribute not in NO_COUNTRY
    return item.attribute if named else None


def asks_stance(item: TaskItem) -> bool:
    """Whether the item asks if a target supports or opposes its situation."""
    return item.mode == "steerable" and item.options == STANCE_OPTIONS


def question(item: TaskItem, *, own_stances: bool = False) -> str | None:
    """The data set's own wording of the question with its options, where it has one.

    Args:
        item: of a task.
        own_stances: leave the data set's wording of questions for a stance aside, and so let the
            package's own take its place: for the embedded model, which knows no other.
    """
    if own_stances and asks_stance(item):
        return None
    prompt = item.prompt.strip()
    return prompt if item.mode != "overton" and prompt.endswith(_LETTER_DUE) else None


def own_request(item: TaskItem) -> str | None:
    """The data set's own request for a comment, where it has one; questions with options are none."""
    prompt = item.prompt.strip()
    return None if prompt == item.text or prompt.endswith(_LETTER_DUE) else prompt


def comment_request(item: TaskItem, prompts: Prompts) -> str:
    """What a model is asked in order to comment on the item."""
    return own_request(item) or prompts.comment.format(text=situation(item))


def item_case(item: TaskItem, comments: tuple[Comment, ...] = (), *, own_stances: bool = False) -> Case:
    """The item with comments, ready for a mode; `own_stances` as in `question`."""
    return Case(
        situation(item),
        comments,
        question(item, own_stances=own_stances),
        item.options or STANCE_OPTIONS,
        target_in_words(target(item) or ""),
        country(item),
    )


def item_request(item: TaskItem, shared: Mapping[str, Any], *, own_stances: bool = False) -> Request:
    """What is asked of the pipeline for the item.

    Args:
        item: of a task.
        shared: fields of `Request` that hold for every item, such as `k`.
        own_stances: as in `question`.
    """
    return Request(
        situation(item),
        mode=item.mode,
        prompt=own_request(item),
        toward=target(item),
        question=question(item, own_stances=own_stances),
        options=item.options if item.mode != "overton" else (),
        country=country(item),
        **shared,
    )
