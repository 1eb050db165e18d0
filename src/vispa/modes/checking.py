"""Whether a request can be answered, with names resolved and defaults filled in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from vispa.errors import InputError, check_choice
from vispa.modes.questions import check_options, question_stem
from vispa.request import MODES, STANCE_OPTIONS, Request, check_count, check_diversity, check_text, check_threshold
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
    check_text(request.text)
    check_count(request.k, len(taxonomy))
    check_threshold(request.threshold)
    check_diversity(request.diversity)
    check_choice("mode", request.mode, MODES)
    if request.mode == "overton" and (request.options or request.toward):
        field = "options" if request.options else "toward"
        raise InputError(field, "is given in Overton mode.", "Choose --mode steerable or distributional.")
    if request.mode == "steerable" and not (request.toward or "").strip():
        raise InputError("toward", "is missing.", "Steerable mode needs a value, right, duty or group.")
    options = tuple(option.strip() for option in request.options) or STANCE_OPTIONS
    check_options(options)
    values = tuple(dict.fromkeys(taxonomy[name].slug for name in request.values))
    if not values and request.mode == "steerable" and request.toward in taxonomy:
        # A target that is itself a value needs no selecting and no picking.
        values = (taxonomy[request.toward or ""].slug,)
    if not values and request.mode == "distributional":
        values = tuple(taxonomy[name].slug for name in mixture_values)
    text = question_stem(request.text) if request.mode != "overton" else request.text.strip()
    question = request.question
    if question is None and request.options and request.text.rstrip().endswith("Answer:"):
        question = request.text.strip()
    return replace(request, text=text, values=values, options=options, question=question)
