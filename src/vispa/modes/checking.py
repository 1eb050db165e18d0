"""Whether a request can be answered, with names resolved and defaults filled in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from vispa.errors import InputError
from vispa.modes.questions import asks_for_letter, listed_options, question_stem
from vispa.request import STANCE_OPTIONS, Request, check_different, check_request, resolved_count
from vispa.taxonomy import Taxonomy


def checked(request: Request, taxonomy: Taxonomy, mixture_values: Sequence[str] = ()) -> Request:
    """The request with names resolved and defaults filled in.

    Args:
        request: as the caller wrote it.
        taxonomy: that the names are looked up in.
        mixture_values: values that a given or fitted mixture needs, in place of selecting.

    Raises:
        InputError: whatever is wrong with it; the message names the field.
    """
    check_request(request)
    k = resolved_count(request.k, len(taxonomy))
    if request.mode == "steerable" and request.toward is None:
        raise InputError("toward", "is missing.", "Steerable mode needs a value, right, duty or group.")
    options = tuple(request.options) or listed_options(request.question or request.text) or STANCE_OPTIONS
    question = request.question
    if question is None and request.mode != "overton" and asks_for_letter(request.text, options):
        question = request.text.strip()
    if not (question and asks_for_letter(question, options)):
        # A data set's own wording may list a text twice: its letters tell the two apart.
        check_different(options)
    text = question_stem(request.text, options) if request.mode != "overton" else request.text.strip()
    values = _values(request, taxonomy, mixture_values)
    # Where values are named, none are counted.
    return replace(request, text=text, k=None if values else k, values=values, options=options, question=question)


def _values(request: Request, taxonomy: Taxonomy, mixture_values: Sequence[str]) -> tuple[str, ...]:
    """Slugs of the values that need no selecting; none where the text's own are to be selected."""
    if request.values:
        return tuple(dict.fromkeys(taxonomy[name].slug for name in request.values))
    if request.mode == "steerable" and request.toward in taxonomy:
        # A target that is itself a value needs no selecting and no picking.
        return (taxonomy[request.toward or ""].slug,)
    if request.mode == "distributional":
        return tuple(taxonomy[name].slug for name in mixture_values)
    return ()
