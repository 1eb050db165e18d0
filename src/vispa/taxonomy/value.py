"""One human value."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

#: Whether a value is expressed by promoting what its pairs' positive sentences embody, or by
#: avoiding it. The paper promotes every value, `toxicity` and `harmfulness` included.
Polarity = Literal["promote", "avoid"]


@dataclass(frozen=True)
class Value:
    """A value that a model can be steered toward.

    Attributes:
        slug: identifier, as in `power_distance`.
        label: words that name the value in prompts and hypotheses.
        family: the group of the taxonomy it belongs to.
        definition: one or two sentences.
        theory: the theory the value comes from.
        source: reference for the theory.
        polarity: `avoid` for topics that are expressed as their avoidance.
        aliases: other names by which a user may ask for it.
    """

    slug: str
    label: str
    family: str
    definition: str
    theory: str = ""
    source: str = ""
    polarity: Polarity = "promote"
    aliases: tuple[str, ...] = ()


@dataclass(frozen=True)
class Names:
    """What a value is called in another language than English.

    Attributes:
        label: words that name the value.
        definition: one or two sentences.
    """

    label: str
    definition: str
