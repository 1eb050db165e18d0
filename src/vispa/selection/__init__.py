"""Which values matter for a text: selectors, by the names that users ask for them, and the choice from their scores."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vispa.selection.selector import Selector
    from vispa.selection.settings import SelectorSettings
    from vispa.taxonomy import Taxonomy


@dataclass(frozen=True)
class SelectorKind:
    """A kind of selector.

    Attributes:
        make: a selector that is ready to select.
        idle: names of settings that change nothing.
    """

    make: Callable[[Taxonomy, SelectorSettings], Selector]
    idle: tuple[str, ...] = ()


def _embedding(taxonomy: Taxonomy, settings: SelectorSettings) -> Selector:
    from vispa.selection.embedding import make

    return make(taxonomy, settings)


def _nli(taxonomy: Taxonomy, settings: SelectorSettings) -> Selector:
    from vispa.selection.nli import make

    return make(taxonomy, settings)


def _language_model(taxonomy: Taxonomy, settings: SelectorSettings) -> Selector:
    from vispa.selection.language_model import make

    return make(taxonomy, settings, joint=False)


def _both(taxonomy: Taxonomy, settings: SelectorSettings) -> Selector:
    from vispa.selection.language_model import make

    return make(taxonomy, settings, joint=True)


#: Every kind of selector by its name.
SELECTORS: Mapping[str, SelectorKind] = {
    # Sentence embeddings are computed where they are.
    "embedding": SelectorKind(_embedding, idle=("device", "trust_remote_code")),
    "nli": SelectorKind(_nli),
    "model": SelectorKind(_language_model),
    "both": SelectorKind(_both),
}
