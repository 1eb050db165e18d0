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
        idle: names of the command line's parameters that change nothing.
        english_only: whether it reads English alone, by the name of its model (None for its default); see
            `vispa.selection.selector.MonolingualSelector`.
    """

    make: Callable[[Taxonomy, SelectorSettings], Selector]
    idle: tuple[str, ...] = ()
    english_only: Callable[[str | None], bool] = lambda model: False


def _embedding(taxonomy: Taxonomy, settings: SelectorSettings) -> Selector:
    from vispa.selection.embedding import make

    return make(taxonomy, settings)


def _mpnet(taxonomy: Taxonomy, settings: SelectorSettings) -> Selector:
    from vispa.selection.embedding import make

    return make(taxonomy, settings, larger=True)


def _nli(taxonomy: Taxonomy, settings: SelectorSettings) -> Selector:
    from vispa.selection.nli import make

    return make(taxonomy, settings)


def _language_model(taxonomy: Taxonomy, settings: SelectorSettings) -> Selector:
    from vispa.selection.language_model import make

    return make(taxonomy, settings, joint=False)


def _both(taxonomy: Taxonomy, settings: SelectorSettings) -> Selector:
    from vispa.selection.language_model import make

    return make(taxonomy, settings, joint=True)


def _embedding_english(model: str | None) -> bool:
    from vispa.selection.embedding import reads_english_only

    return reads_english_only(model)


def _nli_english(model: str | None) -> bool:
    from vispa.selection.nli import DEFAULT_NLI_MODEL

    return model in (None, DEFAULT_NLI_MODEL)


#: Every kind of selector by its name.
SELECTORS: Mapping[str, SelectorKind] = {
    # Sentence embeddings of the bundled encoder are computed on the processor.
    "embedding": SelectorKind(_embedding, idle=("device", "trust_remote_code"), english_only=_embedding_english),
    # A larger encoder finds values better and takes several times as long.
    "mpnet": SelectorKind(_mpnet, idle=("selector_model", "trust_remote_code"), english_only=lambda model: True),
    "nli": SelectorKind(_nli, english_only=_nli_english),
    "model": SelectorKind(_language_model),
    "both": SelectorKind(_both, english_only=lambda model: True),
}
