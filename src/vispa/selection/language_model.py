"""Selection by reading the language model that is to be steered: what its own activations say matters in a text."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from vispa.models.encoder import Encoder, FloatArray, reads_whole
from vispa.models.loading import LoadedModel, load_model
from vispa.models.sources.progress import Progress
from vispa.request import DEFAULT_MODEL
from vispa.selection.adapted import load_adapted
from vispa.selection.embedding import EmbeddingSelector
from vispa.selection.settings import SelectorSettings
from vispa.steering.activations import read_activations, reads_to_the_end
from vispa.steering.readings import Reading
from vispa.taxonomy import Taxonomy

#: Depths, as shares of the blocks, whose activations are read; chosen on the development split.
DEPTHS = (0.27, 0.45)
#: How much activations count beside the adapted encoder's vector.
BESIDE = 0.7

_READING: Reading = "sink_free_mean"


class ActivationEncoder:
    """Texts to the sink-free means of a language model's activations, one pass up to a block in its middle.

    Each block's mean is taken from that of the built-in values' definitions, since what all texts share says nothing,
    and has length 1 before the blocks are put side by side.
    """

    def __init__(self, loaded: LoadedModel) -> None:
        """An encoder of a model.

        Args:
            loaded: the model.
        """
        count = len(loaded.blocks)
        self._loaded = loaded
        self._blocks = tuple(dict.fromkeys(min(count - 1, round(depth * count)) for depth in DEPTHS))
        self._centre: FloatArray | None = None
        self.name = f"{loaded.name} blocks {', '.join(map(str, self._blocks))}"

    def encode(self, texts: Sequence[str], progress: Callable[[int], None] | None = None) -> FloatArray:
        """See `Encoder.encode`.

        Raises:
            NumericalError: an activation is not finite.
        """
        if self._centre is None:
            values = Taxonomy.built_in().values
            told = self._read([f"{value.label}: {value.definition}" for value in values], None)
            self._centre = np.asarray(told.mean(0), dtype=np.float32)
        found = self._read(texts, progress) - self._centre
        found /= np.maximum(np.linalg.norm(found, axis=-1, keepdims=True), 1e-12)
        return np.asarray((found / len(self._blocks) ** 0.5).reshape(len(texts), -1), dtype=np.float32)

    def reads_whole(self, texts: Sequence[str]) -> Sequence[bool]:
        """See `BoundedEncoder.reads_whole`."""
        return reads_to_the_end(self._loaded, texts)

    def _read(self, texts: Sequence[str], progress: Callable[[int], None] | None) -> FloatArray:
        # A text is to have the same vector alone and in a batch, also in 16 bits.
        unpadded = self._loaded.model.dtype.itemsize < 4
        blocks = sorted(self._blocks)
        found = read_activations(
            self._loaded, texts, readings=(_READING,), blocks=blocks, unpadded=unpadded, progress=progress
        )[_READING]
        return np.asarray(found.numpy(), dtype=np.float32)


class JointEncoder:
    """The vectors of two encoders side by side."""

    def __init__(self, first: Encoder, second: Encoder, share: float = BESIDE) -> None:
        """An encoder of two.

        Args:
            first: counts once.
            second: counts `share` as much.
            share: above 0.
        """
        self._first, self._second, self._share = first, second, share
        self.name = f"{first.name} and {second.name}"

    def encode(self, texts: Sequence[str], progress: Callable[[int], None] | None = None) -> FloatArray:
        """See `Encoder.encode`."""
        parts = (self._first.encode(texts), self._share * self._second.encode(texts, progress))
        joint = np.concatenate(parts, axis=1) / (1 + self._share**2) ** 0.5
        return np.asarray(joint, dtype=np.float32)

    def reads_whole(self, texts: Sequence[str]) -> Sequence[bool]:
        """See `BoundedEncoder.reads_whole`: what both do."""
        told = (reads_whole(encoder, texts) for encoder in (self._first, self._second))
        return [first and second for first, second in zip(*told, strict=True)]


class LanguageModelSelector(EmbeddingSelector):
    """Relevance from the activations of the model that is steered, alone or beside the adapted encoder's vector.

    Its head is fitted on the labelled situations when a model is first read, which takes a minute or two for a small
    one, and kept in the user's cache.
    """

    def __init__(self, taxonomy: Taxonomy, settings: SelectorSettings, *, joint: bool) -> None:
        """A selector without a model yet.

        Args:
            taxonomy: the V values.
            settings: `model` names the language model; without it that which is steered, or the default one.
            joint: beside the adapted encoder.
        """
        super().__init__(taxonomy, settings.model or DEFAULT_MODEL)
        self._settings, self._joint = settings, joint
        self.name = f"{'both' if joint else 'model'}:{self._encoder_name}"

    @property
    def compares(self) -> bool:
        """Activations do not: they hold how a text is written as much as what it says."""
        return False

    @property
    def english_only(self) -> bool:
        """See `MonolingualSelector`: the adapted encoder does; which languages the model knows is its user's affair."""
        return self._joint

    def read_with(self, loaded: LoadedModel) -> None:
        """Read this model, unless another one was named."""
        if self._settings.model is None and self._encoder is None:
            self._use(loaded)

    @property
    def encoder(self) -> Encoder:
        """The encoder; the model is loaded when it is first needed and none was given.

        Raises:
            ModelError: the model cannot be loaded.
        """
        if self._encoder is None:
            settings = self._settings
            self._use(
                load_model(
                    self._encoder_name, device=settings.device, trust_remote_code=settings.trust_remote_code,
                    progress=settings.progress,
                )
            )  # fmt: skip
        assert self._encoder is not None
        return self._encoder

    def prepare(self, progress: Progress | None = None) -> None:
        """Load or fit the head; see `EmbeddingSelector.prepare`."""
        super().prepare(progress or self._settings.progress)

    def _use(self, loaded: LoadedModel) -> None:
        own = ActivationEncoder(loaded)
        self._encoder = JointEncoder(load_adapted().encoder, own) if self._joint else own
        self._encoder_name = self._encoder.name
        self.name = f"{'both' if self._joint else 'model'}:{loaded.name}"


def make(taxonomy: Taxonomy, settings: SelectorSettings, *, joint: bool) -> LanguageModelSelector:
    """A selector that reads the language model; prepared when its model is known."""
    return LanguageModelSelector(taxonomy, settings, joint=joint)
