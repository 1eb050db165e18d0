"""Selection from one sentence embedding a text: for machines without a GPU or a hub."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from vispa.models.encoder import BUNDLED, Encoder, FloatArray, load_encoder
from vispa.models.sources.progress import Progress
from vispa.selection.head import RelevanceHead
from vispa.selection.settings import SelectorSettings
from vispa.selection.shared_head import relevance_head, shipped_head
from vispa.taxonomy import Taxonomy


class EmbeddingSelector:
    """Relevance of every value from one embedding of the text.

    A head trained on labelled situations turns the embedding into one probability per value.
    The bundled encoder with the built-in values uses the head that ships with the package;
    any other encoder or value gets a head trained from the same situations, once, which the user's cache keeps.
    """

    def __init__(self, taxonomy: Taxonomy, encoder: str | Encoder = BUNDLED) -> None:
        """A selector whose encoder and head are loaded when they are first needed.

        Args:
            taxonomy: the V values.
            encoder: a sentence encoder, or its name or path.
        """
        self.taxonomy = taxonomy
        self._encoder: Encoder | None = None if isinstance(encoder, str) else encoder
        self._encoder_name = encoder if isinstance(encoder, str) else encoder.name
        self._head: RelevanceHead | None = None
        self.name = f"embedding:{self._encoder_name}"

    @property
    def encoder(self) -> Encoder:
        """The encoder, loaded when it is first needed."""
        if self._encoder is None:
            self._encoder = load_encoder(self._encoder_name)
        return self._encoder

    @property
    def head(self) -> RelevanceHead:
        """The head, loaded or trained when it is first needed."""
        if self._head is None:
            self.prepare()
        assert self._head is not None
        return self._head

    def prepare(self, progress: Progress | None = None) -> None:
        """Load the head, or train it.

        Args:
            progress: told of the training.
        """
        if self._head is None:
            # The shipped head needs no encoder.
            shipped = shipped_head(self.taxonomy) if self._encoder_name == BUNDLED else None
            self._head = shipped or relevance_head(self.encoder, self.taxonomy, progress)

    def scores(self, texts: Sequence[str], progress: Callable[[int], None] | None = None) -> FloatArray:
        """See `Selector.scores`."""
        if not texts:
            return np.empty((0, len(self.taxonomy)), dtype=np.float32)
        return self.head.probabilities(self.encoder.encode(texts, progress))


def make(taxonomy: Taxonomy, settings: SelectorSettings) -> EmbeddingSelector:
    """An embedding selector with its head."""
    selector = EmbeddingSelector(taxonomy, settings.model or BUNDLED)
    selector.prepare(settings.progress)
    return selector
