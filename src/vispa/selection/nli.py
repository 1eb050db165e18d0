"""Selection by zero-shot natural language inference: the paper's gate (section 3.1)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from vispa.errors import InputError
from vispa.files.folders import cache_folder
from vispa.models.batching import CLASSIFYING, Budget
from vispa.models.encoder import FloatArray
from vispa.models.nli import NliClassifier
from vispa.selection.settings import SelectorSettings
from vispa.taxonomy import Taxonomy

if TYPE_CHECKING:
    import torch

#: The paper's model.
DEFAULT_NLI_MODEL = "sileod/deberta-v3-base-tasksource-nli"
#: The paper's hypothesis; `{label}` stands for the value's label.
HYPOTHESIS = "This text is relevant to the value of {label}."

CACHE_FILE = "scores.sqlite3"


class NliSelector:
    """Probability that a text entails a hypothesis about each value, each value on its own.

    The text is the premise. The score of a value is the softmax over the pair's [contradiction,
    entailment] logits, its entailment part: what the zero-shot pipeline of transformers calls
    `multi_label=True` (Yin et al. 2019, arXiv 1909.00161). A text costs V forward passes, which
    run in batches of similar length. Where a pair is longer than the model takes, the text is
    cut at its end (a `Chooser` gives it in parts instead); the hypothesis never is.

    Example:
        >>> selector = NliSelector(Taxonomy.built_in())
        >>> selector.scores(["Telling my grandmother a comforting lie"]).shape
        (1, 31)
    """

    def __init__(
        self,
        taxonomy: Taxonomy,
        model: str = DEFAULT_NLI_MODEL,
        *,
        template: str = HYPOTHESIS,
        device: str | None = None,
        dtype: str | torch.dtype = "auto",
        trust_remote_code: bool = False,
        budget: Budget = CLASSIFYING,
        cache: Path | Literal["default"] | None = "default",
    ) -> None:
        """Load the model; its weights are read from safetensors only.

        Args:
            taxonomy: the V values.
            model: a folder or hub id of a sequence classifier trained on NLI.
            template: the hypothesis, with `{label}` where the value's label goes.
            device: as in torch; by default a GPU where there is one.
            dtype: torch dtype or its name; `auto` takes the checkpoint's.
            trust_remote_code: run code that comes with the checkpoint; off unless asked for.
            budget: of a batch of pairs.
            cache: folder that keeps scores; by default in the user's cache folder, None for none.

        Raises:
            ModelError: the model cannot be loaded, or is not one for NLI.
            InputError: a template without `{label}` or with no room left for the text.
        """
        if "{label}" not in template:
            raise InputError("template", f"{template!r} names no value.", "Write {label} where the label goes.")
        self.taxonomy, self.name = taxonomy, f"nli:{model}"
        #: See `MonolingualSelector`: of other models nothing is known.
        self.english_only = model == DEFAULT_NLI_MODEL
        folder = cache_folder() / "nli" if cache == "default" else cache
        self.classifier = NliClassifier(
            model,
            contrast=True,
            cut="only_first",
            device=device,
            dtype=dtype,
            trust_remote_code=trust_remote_code,
            budget=budget,
            cache=None if folder is None else folder / CACHE_FILE,
        )
        self._hypotheses = [template.replace("{label}", value.label) for value in taxonomy.values]
        self._check_room()

    def scores(self, texts: Sequence[str], progress: Callable[[int], None] | None = None) -> FloatArray:
        """See `Selector.scores`.

        Raises:
            NumericalError: a score is not finite.
        """
        pairs = [(text, hypothesis) for text in texts for hypothesis in self._hypotheses]
        told = progress and _in_texts(progress, len(texts), len(set(pairs)))
        found = self.classifier.entailment(pairs, told)
        return found.reshape(len(texts), len(self._hypotheses)).astype(np.float32)

    def reads_whole(self, texts: Sequence[str]) -> Sequence[bool]:
        """See `BoundedSelector.reads_whole`: with the longest hypothesis too."""
        lengths = self.classifier.lengths([(text, self._longest) for text in texts])
        return [int(length) <= self.classifier.longest for length in lengths]

    def _check_room(self) -> None:
        lengths = self.classifier.lengths([("", hypothesis) for hypothesis in self._hypotheses])
        longest = self.classifier.longest
        self._longest = self._hypotheses[int(lengths.argmax())]
        if lengths.max() >= longest:
            slug = list(self.taxonomy)[int(lengths.argmax())]
            raise InputError(
                "template",
                f"makes {lengths.max()} tokens for {slug}, where the model takes {longest} with the text.",
                "Shorten the template or the value's label.",
            )


def make(taxonomy: Taxonomy, settings: SelectorSettings) -> NliSelector:
    """The paper's gate, or the same with another model."""
    return NliSelector(
        taxonomy,
        settings.model or DEFAULT_NLI_MODEL,
        device=settings.device,
        trust_remote_code=settings.trust_remote_code,
    )


def _in_texts(progress: Callable[[int], None], texts: int, pairs: int) -> Callable[[int], None]:
    """What tells progress in texts when it is told of their pairs."""
    judged = told = 0

    def advance(count: int) -> None:
        nonlocal judged, told
        judged += count
        new = judged * texts // pairs - told
        if new:
            told += new
            progress(new)

    return advance
