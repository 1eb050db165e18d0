"""Whether a request can be answered, with names resolved and defaults filled in."""

from __future__ import annotations

from collections.abc import Sequence

from vispa.modes import MODES
from vispa.request import Request, check_request
from vispa.taxonomy import Taxonomy


def checked(request: Request, taxonomy: Taxonomy, weighted: Sequence[str] = ()) -> Request:
    """A request with names resolved and defaults filled in, as its mode does it.

    Args:
        request: as the caller wrote it.
        taxonomy: that the names are looked up in.
        weighted: values that a given or fitted mixture weighs.

    Raises:
        InputError: whatever is wrong with the request; the message names the field.
    """
    check_request(request)
    return MODES[request.mode].check(request, taxonomy, weighted)
