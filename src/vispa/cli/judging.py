"""What commands that let a judge read comments ask of a taxonomy."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vispa.errors import InputError

if TYPE_CHECKING:
    from vispa.taxonomy import Taxonomy


def check_judged(taxonomy: Taxonomy) -> None:
    """Refuse a taxonomy that no judge can be made for, before a model is loaded.

    Raises:
        InputError: it has one value.
    """
    if len(taxonomy) < 2:
        advice = "Name a folder of at least two values: a judge of comments tells them apart."
        raise InputError("--taxonomy", "has one value.", advice)
