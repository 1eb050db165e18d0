"""Selection from one sentence embedding a text: for machines without a GPU or a hub."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from vispa.models.encoder import BUNDLED, Encoder, FloatArray, load_encoder
from vispa.selection.head import RelevanceHead, fit_shared_head, load_head
from vispa.taxonomy import Taxonomy

HEAD_FILE = Path(__file__).parent / "relevance_head.safetensors"


class EmbeddingSelector:
    """Relevance of every value from one embedding of the text.

    A head trained on labelled situations turns the embedding into one probability per value.
    The bundled encoder with the built-in values uses the head that ships with the package;
    any other encoder or value gets a head trained on the spot from the same situations.
    """

    def __init__(self, taxonomy: Taxonomy, encoder: str | Encoder = BUNDLED) -> None:
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
            shipped = load_head(HEAD_FILE) if self._encoder_name == BUNDLED else None
            if shipped is not None and set(self.taxonomy) <= set(shipped.values):
                self._head = shipped.restricted(tuple(self.taxonomy))
            else:
                self._head = fit_shared_head(self.encoder, self.taxonomy)
        return self._head

    def scores(self, texts: Sequence[str], progress: Callable[[int], None] | None = None) -> FloatArray:
        """See `Selector.scores`."""
        if not texts:
            return np.empty((0, len(self.taxonomy)), dtype=np.float32)
        return self.head.probabilities(self.encoder.encode(texts, progress))
