"""How an item is asked: the one way from an item to a request, for batch, evaluation, mixture and Inspect."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any, Protocol

from vispa.errors import InputError
from vispa.files.append_log import Identifier
from vispa.modes.case import Case
from vispa.modes.checking import checked
from vispa.modes.prompts import Prompts
from vispa.modes.questions import asks_for_letter, listed_options, question_stem, target_in_words
from vispa.modes.templates import filled
from vispa.records import Comment
from vispa.request import STANCE_OPTIONS, Mode, Request, texts
from vispa.taxonomy import Taxonomy

#: Attributes of items that name neither a group nor a country: MoralChoice's.
NO_PEOPLE = ("low_ambiguity", "high_ambiguity")


class AskedItem(Protocol):
    """What asking needs of an item: `vispa.items.reading.Item` and evaluation's `TaskItem` have it."""

    @property
    def id(self) -> Identifier:
        """The item's own identifier."""
        ...

    @property
    def text(self) -> str:
        """The situation or question, options perhaps included."""
        ...

    @property
    def prompt(self) -> str | None:
        """The data set's own wording, of a request to comment or of a question; or the text itself."""
        ...

    @property
    def options(self) -> tuple[str, ...]:
        """What may be answered."""
        ...

    @property
    def target(self) -> str | None:
        """The value, right or duty that the item asks about."""
        ...

    @property
    def attribute(self) -> str | None:
        """The group or country whose view the item asks for."""
        ...


def item_request(
    item: AskedItem, mode: Mode, shared: Mapping[str, Any] | None = None, *, own_stances: bool = False
) -> Request:
    """What is asked of the pipeline for an item.

    Args:
        item: of a file or task.
        mode: that answers it.
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
    if mode != "overton":
        own["options"] = options or item_options(item)
        own["question"] = question(item, mode, toward=toward, options=options, own_stances=own_stances)
    if mode == "steerable":
        own["toward"] = target(item, mode)
    if mode == "distributional":
        own["country"] = country(item, mode)
    return Request(situation(item, mode), mode=mode, **{**own, **given})


def checked_requests(requests: Mapping[Identifier, Request], taxonomy: Taxonomy) -> None:
    """Refuse the first request that cannot be answered, by its item's identifier; see `checked`."""
    for identifier, request in requests.items():
        try:
            checked(request, taxonomy)
        except InputError as error:
            raise InputError(f"item {identifier!r}: {error.field}", error.problem, error.advice) from error


def item_case(item: AskedItem, mode: Mode, comments: tuple[Comment, ...] = (), *, own_stances: bool = False) -> Case:
    """The item with comments, ready for a mode; `own_stances` as in `item_request`."""
    return Case(
        situation(item, mode),
        comments,
        question(item, mode, own_stances=own_stances),
        item_options(item),
        target_in_words(target(item, mode) or ""),
        country(item, mode),
    )


def situation(item: AskedItem, mode: Mode) -> str:
    """The item's text, without options where the mode lists them."""
    return item.text if mode == "overton" else question_stem(item.text, item_options(item))


def item_options(item: AskedItem) -> tuple[str, ...]:
    """What may be answered: the item's own options, those that its wording lists, or the stances."""
    return item.options or listed_options(item.prompt or item.text) or STANCE_OPTIONS


def target(item: AskedItem, mode: Mode) -> str | None:
    """Toward what a steerable item is answered: its value, right or duty, else its people."""
    return (item.target or _people(item)) if mode == "steerable" else None


def country(item: AskedItem, mode: Mode) -> str | None:
    """Whose people a distributional item asks."""
    return _people(item) if mode == "distributional" else None


def asks_stance(item: AskedItem, mode: Mode) -> bool:
    """Whether the item asks if a target supports or opposes its situation."""
    return mode == "steerable" and item_options(item) == STANCE_OPTIONS


def question(
    item: AskedItem,
    mode: Mode,
    *,
    toward: str | None = None,
    options: tuple[str, ...] = (),
    own_stances: bool = False,
) -> str | None:
    """The data set's own wording of the question, where it asks for a letter of the options that may be answered.

    Args:
        item: of a file or task.
        mode: that answers it.
        toward: another target than the item's own; then a wording that names the item's own is none.
        options: other options than the item's own.
        own_stances: as in `item_request`.
    """
    if mode == "overton" or (own_stances and asks_stance(item, mode)):
        return None
    wording = (item.prompt or item.text).strip()
    named = target(item, mode)
    if toward is not None and named is not None and toward != named and named in wording:
        return None
    return wording if asks_for_letter(wording, options or item_options(item)) else None


def own_request(item: AskedItem) -> str | None:
    """The data set's own request for a comment, where it has one; questions with options are none."""
    prompt = (item.prompt or item.text).strip()
    return None if prompt == item.text.strip() or prompt.endswith("Answer:") else prompt


def comment_request(item: AskedItem, mode: Mode, prompts: Prompts) -> str:
    """What a model is asked in order to comment on the item."""
    return own_request(item) or filled(prompts.comment, text=situation(item, mode))


def _people(item: AskedItem) -> str | None:
    return item.attribute if item.attribute not in NO_PEOPLE else None
