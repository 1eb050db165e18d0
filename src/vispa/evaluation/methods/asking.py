"""What is asked for an item of a task: `vispa.items.asking` in the item's own mode."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from vispa.evaluation.items import TaskItem
from vispa.items import asking
from vispa.modes.case import Case
from vispa.modes.prompts import Prompts
from vispa.records import Comment
from vispa.request import Request


def situation(item: TaskItem) -> str:
    """The item's text without options."""
    return asking.situation(item, item.mode)


def target(item: TaskItem) -> str | None:
    """Toward what a steerable item is answered."""
    return asking.target(item, item.mode)


def asks_stance(item: TaskItem) -> bool:
    """Whether the item asks if a target supports or opposes its situation."""
    return asking.asks_stance(item, item.mode)


def comment_request(item: TaskItem, prompts: Prompts) -> str:
    """What a model is asked in order to comment on the item."""
    return asking.comment_request(item, item.mode, prompts)


def item_case(item: TaskItem, comments: tuple[Comment, ...] = (), *, own_stances: bool = False) -> Case:
    """The item with comments, ready for its mode."""
    return asking.item_case(item, item.mode, comments, own_stances=own_stances)


def item_request(item: TaskItem, shared: Mapping[str, Any], *, own_stances: bool = False) -> Request:
    """What is asked of the pipeline for the item; see `vispa.items.asking.item_request`."""
    return asking.item_request(item, item.mode, shared, own_stances=own_stances)
