"""How an item is asked: the one way from an item to a request, for batch, evaluation, mixture and Inspect."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any

from vispa.errors import InputError
from vispa.files.append_log import Identifier
from vispa.items.item import Item
from vispa.modes.case import Case
from vispa.modes.checking import checked
from vispa.modes.prompts import Prompts
from vispa.modes.questions import asks_for_letter, listed_options, question_stem, target_in_words
from vispa.modes.templates import filled
from vispa.records import Comment
from vispa.request import STANCE_OPTIONS, Request, texts
from vispa.taxonomy import Taxonomy

#: Attributes of items that name neither a group nor a country: MoralChoice's.
NO_PEOPLE = ("low_ambiguity", "high_ambiguity")


def item_request(item: Item, shared: Mapping[str, Any] | None = None, *, own_stances: bool = False) -> Request:
    """What is asked of the pipeline for an item, in the item's own mode.

    Args:
        item: of a file or task.
        shared: fields of `Request` that hold for every item and go before the item's own.
        own_stances: leave the data set's wording of questions for a stance aside, and so let the
            package's own take its place: for the embedded model, which knows no other.

    Raises:
        InputError: `shared` names a field that no request has, or that belongs to one item.
    """
    given = {name: value for name, value in (shared or {}).items() if value is not None and value != ()}
    known = {field.name for field in fields(Request)} - {"text", "mode"}
    for name in given:
        if name not in known:
            raise InputError(name, "is no field that requests share.", f"Choose of {', '.join(sorted(known))}.")
    toward, options = given.get("toward"), texts(given.get("options"), "|", "options")
    own: dict[str, Any] = {}
    if given.get("passages", True):
        own["prompt"] = own_request(item)
    if item.mode != "overton":
        own["options"] = options or item_options(item)
        own["question"] = question(item, toward=toward, options=options, own_stances=own_stances)
    if item.mode == "steerable":
        own["toward"] = target(item)
    if item.mode == "distributional":
        own["country"] = country(item)
    return Request(situation(item), mode=item.mode, **{**own, **given})


def checked_requests(requests: Mapping[Identifier, Request], taxonomy: Taxonomy, weighted: Sequence[str] = ()) -> None:
    """Refuse the first request that cannot be answered, by its item's identifier; see `checked`."""
    for name in weighted:
        # No item is at fault for a value that there is not.
        _ = taxonomy[name]
    for identifier, request in requests.items():
        try:
            checked(request, taxonomy, weighted)
        except InputError as error:
            raise InputError(f"item {identifier!r}: {error.field}", error.problem, error.advice) from error


def item_case(item: Item, comments: tuple[Comment, ...] = (), *, own_stances: bool = False) -> Case:
    """The item with comments, ready for its mode; `own_stances` as in `item_request`."""
    return Case(
        situation(item),
        comments,
        question(item, own_stances=own_stances),
        item_options(item),
        target_in_words(target(item) or ""),
        country(item),
    )


def situation(item: Item) -> str:
    """The item's text, without options where the mode lists them."""
    return item.text if item.mode == "overton" else question_stem(item.text, item_options(item))


def item_options(item: Item) -> tuple[str, ...]:
    """What may be answered: the item's own options, those that its wording lists, or the stances."""
    return item.options or listed_options(item.prompt) or STANCE_OPTIONS


def target(item: Item) -> str | None:
    """Toward what a steerable item is answered: its value, right or duty, else its people."""
    return (item.target or _people(item)) if item.mode == "steerable" else None


def country(item: Item) -> str | None:
    """Whose people a distributional item asks."""
    return _people(item) if item.mode == "distributional" else None


def asks_stance(item: Item) -> bool:
    """Whether the item asks if a target supports or opposes its situation."""
    return item.mode == "steerable" and item_options(item) == STANCE_OPTIONS


def question(
    item: Item,
    *,
    toward: str | None = None,
    options: tuple[str, ...] = (),
    own_stances: bool = False,
) -> str | None:
    """The data set's own wording of the question, where it asks for a letter of the options that may be answered.

    Args:
        item: of a file or task.
        toward: another target than the item's own; then a wording that names the item's own is none.
        options: other options than the item's own.
        own_stances: as in `item_request`.
    """
    if item.mode == "overton" or (own_stances and asks_stance(item)):
        return None
    wording = item.prompt
    named = target(item)
    if toward is not None and named is not None and toward != named and named in wording:
        return None
    return wording if asks_for_letter(wording, options or item_options(item)) else None


def own_request(item: Item) -> str | None:
    """The data set's own request for a comment, where it has one; questions with options are none."""
    prompt = item.prompt
    return None if prompt == item.text or prompt.endswith("Answer:") else prompt


def comment_request(item: Item, prompts: Prompts) -> str:
    """What a model is asked in order to comment on the item."""
    return own_request(item) or filled(prompts.comment, text=situation(item))


def _people(item: Item) -> str | None:
    return item.attribute if item.attribute not in NO_PEOPLE else None
