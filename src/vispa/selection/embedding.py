"""Selection from one sentence embedding a text: for machines without a GPU or a hub."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from threading import local

import numpy as np

from vispa.models.encoder import BUNDLED, MPNET, Encoder, FloatArray, load_encoder, reads_whole
from vispa.models.sources.named import named_model
from vispa.models.sources.progress import Progress
from vispa.once import once_property
from vispa.selection.adapted import ADAPTED, ADAPTED_MPNET, ADAPTER_FILES, Adapted, load_adapted
from vispa.selection.head import LinearHead
from vispa.selection.settings import SelectorSettings
from vispa.selection.shared_head import own_values, relevance_head
from vispa.taxonomy import Taxonomy


class EmbeddingSelector:
    """Relevance of every value from one embedding of the text.

    A head trained on labelled situations turns the embedding into one probability per value.
    By default the encoder itself was trained too, together with heads for the built-in values; they ship with the
    package, as do those of a larger encoder, which is fetched. Any other encoder gets a head trained from the same
    situations, once, which the user's cache keeps.
    """

    def __init__(self, taxonomy: Taxonomy, encoder: str | Encoder = ADAPTED, *, device: str | None = None) -> None:
        """A selector whose encoder and head are loaded when they are first needed.

        Args:
            taxonomy: the V values.
            encoder: a sentence encoder, or its name or path; by default the one that was trained for this.
            device: that the larger encoder runs on; by default a GPU where there is one.
        """
        self.taxonomy = taxonomy
        self._encoder: Encoder | None = None if isinstance(encoder, str) else encoder
        self._encoder_name = encoder if isinstance(encoder, str) else encoder.name
        self._head: LinearHead | None = None
        self._last = local()
        self._device = device
        self.name = f"embedding:{self._encoder_name}"
        if encoder == ADAPTED_MPNET:
            from vispa.models.named_encoder import arithmetic

            # What runs on a processor in bfloat16 scores a little otherwise than what runs in float32 or on a GPU.
            place, dtype = arithmetic(device)
            self.name += f" ({str(dtype).removeprefix('torch.')} on {place.type})"

    @property
    def encoder(self) -> Encoder:
        """The encoder, loaded when it is first needed."""
        if self._encoder is None:
            self._encoder = load_encoder(self._encoder_name) if self._adapted is None else self._adapted.encoder
        return self._encoder

    @property
    def compares(self) -> bool:
        """Whether texts that say the same have near vectors, as those of a sentence encoder do.

        The adaptation puts values near each other that are at stake in the same texts.
        """
        return self._encoder_name not in ADAPTER_FILES

    @property
    def english_only(self) -> bool:
        """See `MonolingualSelector`: encoders that ship or have a head that ships do; of others nothing is known."""
        return reads_english_only(self._encoder_name)

    @property
    def head(self) -> LinearHead:
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
            self._head = relevance_head(self.encoder, self.taxonomy, progress)

    def scores(self, texts: Sequence[str], progress: Callable[[int], None] | None = None) -> FloatArray:
        """See `Selector.scores`."""
        if not texts:
            return np.empty((0, len(self.taxonomy)), dtype=np.float32)
        return self.head.probabilities(self._embeddings(texts, progress))

    def reads_whole(self, texts: Sequence[str]) -> Sequence[bool]:
        """See `BoundedSelector.reads_whole`: what the encoder does not cut."""
        return reads_whole(self.encoder, texts)

    def stances(self, texts: Sequence[str]) -> FloatArray:
        """See `StanceSelector.stances`: told of built-in values by adapted encoders alone."""
        out = np.full((len(texts), len(self.taxonomy)), np.nan, dtype=np.float32)
        if texts and self._told and self._adapted is not None:
            head, turned = self._stance_head
            out[:, self._told] = head.probabilities(self._embeddings(texts))
            out[:, turned] = 1 - out[:, turned]
        return out

    @once_property
    def _stance_head(self) -> tuple[LinearHead, list[int]]:
        """The adapted encoder's head of stances for the built-in values of the taxonomy, and which columns it turns.

        The head knows the built-in values as they point in the package.
        """
        assert self._adapted is not None
        slugs, built_in = list(self.taxonomy), Taxonomy.built_in()
        head = self._adapted.stance.restricted(tuple(slugs[place] for place in self._told))
        poles = [(self.taxonomy[slug].polarity, built_in[slug].polarity) for slug in head.values]
        return head, [place for place, (own, usual) in zip(self._told, poles, strict=True) if own != usual]

    @once_property
    def _adapted(self) -> Adapted | None:
        """The adapted encoder and its heads, where the encoder is one."""
        file = ADAPTER_FILES.get(self._encoder_name)
        return None if file is None else load_adapted(file, self._device)

    @once_property
    def _told(self) -> list[int]:
        """Columns of the built-in values."""
        own = own_values(self.taxonomy)
        return [place for place, slug in enumerate(self.taxonomy) if slug not in own]

    def _embeddings(self, texts: Sequence[str], progress: Callable[[int], None] | None = None) -> FloatArray:
        """Of texts; those of a thread's last call are kept, since scores and stances are asked of the same texts."""
        key = tuple(texts)
        known, vectors = getattr(self._last, "kept", (None, None))
        if vectors is None or known != key:
            vectors = self.encoder.encode(texts, progress)
            self._last.kept = (key, vectors)
        elif progress is not None:
            progress(len(texts))
        return vectors


def reads_english_only(encoder: str | None) -> bool:
    """Whether an encoder, by its name, is one that is known to read English alone; None is the default."""
    return encoder in (None, BUNDLED, *ADAPTER_FILES)


def make(taxonomy: Taxonomy, settings: SelectorSettings, *, larger: bool = False) -> EmbeddingSelector:
    """An embedding selector with its head; `larger` by the larger encoder, which is fetched if need be."""
    if larger:
        named_model(MPNET).get(settings.progress)
        selector = EmbeddingSelector(taxonomy, ADAPTED_MPNET, device=settings.device)
    else:
        selector = EmbeddingSelector(taxonomy, settings.model or ADAPTED)
    selector.prepare(settings.progress)
    return selector
