"""Natural language inference: how probable it is that one text entails another."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from threading import Lock
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import nn
from transformers import (
    AutoModelForSequenceClassification,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

from vispa.errors import NumericalError, check_choice
from vispa.files.folders import cache_folder
from vispa.files.score_cache import ScoreCache, pair_key
from vispa.models.batching import CLASSIFYING, Budget, token_batches
from vispa.models.checking import check_weights
from vispa.models.fingerprint import model_fingerprint
from vispa.models.nli_labels import nli_labels
from vispa.models.placement import usable_device
from vispa.models.pretrained import Checkpoint, expanded
from vispa.once import once_property

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
#: Premise and hypothesis.
Pair = tuple[str, str]

#: The judge of published Overton coverage (Modular Pluralism, 2406.15951).
PUBLISHED_JUDGE = "microsoft/deberta-v2-xlarge-mnli"
# The repository's main branch has a pickle only; this one holds the same weights as safetensors.
_PUBLISHED_REVISION = "refs/pr/3"
_PUBLISHED_TOKENS = 512
_JUDGE_DTYPES = ("float32", "bfloat16", "float16")

#: The file of judged pairs in the cache folder.
CACHE_FILE = "judged-pairs.sqlite"

# Longest pair where neither tokenizer nor model sets a limit; more than a text can have.
_NO_LIMIT = 1_000_000
# The tokens of this text stand for the tokenizer, whose vocabulary would take long to read.
_SPECIMEN = "Übung 7: she said (twice), \"it's done\" — wasn't it? 🙂"
_ADVICE = (
    "Name a folder with config.json, tokenizer and *.safetensors, or a hub id that can be reached; "
    "a tokenizer kept as spm.model needs the packages sentencepiece and protobuf."
)


class NliClassifier:
    """A sequence classifier that was trained on natural language inference.

    Each different pair is judged once, in batches of similar length, and kept in a file, so that a
    run that was cut off or is repeated goes on where it stopped.

    Attributes:
        name: what the caller asked for.
        model: in evaluation mode.
        tokenizer: of the model.
        longest: most tokens of a pair; a longer one is cut.
        budget: of a batch of pairs.
    """

    def __init__(
        self,
        model: str,
        *,
        contrast: bool,
        cut: Literal["only_first", "longest_first"],
        longest: int = _NO_LIMIT,
        field: str = "model",
        revision: str | None = None,
        device: str | None = None,
        dtype: str | torch.dtype = "auto",
        trust_remote_code: bool = False,
        budget: Budget = CLASSIFYING,
        cache: Path | None = None,
    ) -> None:
        """Load the model; its weights are read from safetensors only.

        Args:
            model: a folder or a hub id.
            contrast: the probability is the softmax over entailment and contradiction alone, what the
                zero-shot pipeline of transformers calls `multi_label=True`; else over all labels.
            cut: which text of a pair that is too long is cut at its end: the premise, or the longer one.
            longest: most tokens of a pair, where the model takes as many.
            field: what the caller named the model in; errors name it.
            revision: of the hub repository.
            device: as in torch; by default a GPU where there is one.
            dtype: torch dtype or its name; `auto` takes the checkpoint's.
            trust_remote_code: run code that comes with the checkpoint; off unless asked for.
            budget: of a batch.
            cache: file that keeps probabilities; None for none.

        Raises:
            ModelError: the model or device cannot be used, or the model is not one for NLI.
        """
        model = expanded(model, field)
        self.name, self.budget, self._cut, self._contrast = model, budget, cut, contrast
        target = usable_device(device)
        options: dict[str, Any] = {"trust_remote_code": trust_remote_code, "revision": revision or "main"}
        self.model, self.tokenizer, report = Checkpoint(model, model, options, field, _ADVICE).read(
            AutoModelForSequenceClassification,
            partial(nli_labels, model=model, field=field, contrast=contrast),
            dtype=dtype,
        )
        # A classifier leaves the head of its pretraining behind.
        check_weights(model, self.model, {**report, "unexpected_keys": ()}, field=field)
        self._labels = nli_labels(self.model.config, model, field=field, contrast=contrast)
        if self.model.config.pad_token_id is None:
            self.model.config.pad_token_id = self.tokenizer.pad_token_id
        self.model.to(target)  # type: ignore[arg-type]
        self.longest = min(longest, _longest_pair(self.model, self.tokenizer))
        self._cache = None if cache is None else ScoreCache(cache, kind="float64")
        # Padding and truncation are states of the tokenizer, which threads may not set at once.
        self._tokenizing = Lock()

    @once_property
    def fingerprint(self) -> str:
        """See `model_fingerprint`."""
        return model_fingerprint(self.model)

    def entailment(self, pairs: Sequence[Pair], progress: Callable[[int], None] | None = None) -> FloatArray:
        """Probability that the first text of each pair (premise) entails the second (hypothesis), [N].

        Args:
            pairs: N pairs.
            progress: called with the number of different pairs just judged or found.

        Raises:
            NumericalError: the model's output is not finite.
        """
        different = list(dict.fromkeys(pairs))
        known = self._kept(different)
        if progress is not None and known:
            progress(len(known))
        unknown = [pair for pair in different if pair not in known]
        lengths = np.minimum(self.lengths(unknown), self.longest).tolist()
        for places in token_batches(lengths, self.budget, longest_first=True):
            batch = [unknown[place] for place in places]
            found = dict(zip(batch, self._judged(batch), strict=True))
            self._keep(found)
            known.update(found)
            if progress is not None:
                progress(len(batch))
        return np.array([known[pair] for pair in pairs], dtype=np.float64)

    def lengths(self, pairs: Sequence[Pair]) -> IntArray:
        """Tokens of each pair before it is cut, special ones included, [N]."""
        texts = list(dict.fromkeys(text for pair in pairs for text in pair))
        if not texts:
            return np.empty(0, dtype=np.int64)
        with self._tokenizing:
            tokens = self.tokenizer(texts, add_special_tokens=False, verbose=False)["input_ids"]
        counts = dict(zip(texts, map(len, tokens), strict=True))
        special = self.tokenizer.num_special_tokens_to_add(pair=True)
        return np.array([counts[premise] + counts[hypothesis] + special for premise, hypothesis in pairs])

    @torch.inference_mode()
    def _judged(self, pairs: Sequence[Pair]) -> list[float]:
        """Probability of entailment of each of B pairs in one pass."""
        premises, hypotheses = map(list, zip(*pairs, strict=True))
        with self._tokenizing:
            tokens = self.tokenizer(
                premises, hypotheses, truncation=self._cut, max_length=self.longest, padding=True, return_tensors="pt"
            )
        # A classifier on a decoder would keep keys and values that nothing reads.
        options = {"use_cache": False} if "use_cache" in inspect.signature(self.model.forward).parameters else {}
        logits = self.model(**tokens.to(self.model.device), **options).logits.double().cpu()
        if self._contrast:
            probabilities = logits[:, list(self._labels)].softmax(-1)[:, 1].tolist()
        else:
            probabilities = logits.softmax(-1)[:, self._labels.entailment].tolist()
        for hypothesis, probability in zip(hypotheses, probabilities, strict=True):
            if not np.isfinite(probability):
                raise NumericalError(
                    f"{self.name}: the score of {hypothesis[:80]!r} is not finite. Run the model with dtype float32."
                )
        return list(probabilities)

    @once_property
    def _scope(self) -> str:
        """All that a probability depends on besides its pair."""
        with self._tokenizing:
            specimen = self.tokenizer(_SPECIMEN, _SPECIMEN)["input_ids"]
        dtype, how = str(self.model.dtype), [self._labels, self._contrast, self._cut, self.longest]
        return json.dumps([self.fingerprint, dtype, how, specimen])

    def _kept(self, pairs: Iterable[Pair]) -> dict[Pair, float]:
        if self._cache is None:
            return {}
        keys = {pair_key(self._scope, pair): pair for pair in pairs}
        return {keys[key]: float(row[0]) for key, row in self._cache.get(list(keys)).items()}

    def _keep(self, judged: Mapping[Pair, float]) -> None:
        if self._cache is not None:
            self._cache.put(
                {pair_key(self._scope, pair): np.array([probability]) for pair, probability in judged.items()}
            )


class NliJudge(NliClassifier):
    """The judge of coverage: probabilities are over all of the model's labels, as published.

    Pairs longer than 512 tokens are cut, the longer text first.

    Example:
        >>> judge = NliJudge("path/of/a/model")
        >>> judge.entailment([("She sings.", "Someone sings.")]).shape
        (1,)
    """

    def __init__(
        self,
        model: str = PUBLISHED_JUDGE,
        *,
        revision: str | None = None,
        device: str | None = None,
        dtype: str = "float32",
        use_cache: bool = True,
    ) -> None:
        """Load the model; see `NliClassifier`.

        Args:
            model: a folder or a hub id.
            revision: of the hub repository; the published judge has its safetensors beside the
                main branch, and is looked for there.
            device: as in torch; by default a GPU where there is one.
            dtype: torch dtype in which it runs; the published figures are float32.
            use_cache: read and write the file of judged pairs in the user's cache folder.

        Raises:
            ModelError: it cannot be loaded, or has no label for entailment.
            InputError: an unknown dtype.
        """
        check_choice("dtype", dtype, _JUDGE_DTYPES)
        if revision is None and model == PUBLISHED_JUDGE:
            revision = _PUBLISHED_REVISION
        super().__init__(
            model,
            contrast=False,
            cut="longest_first",
            longest=_PUBLISHED_TOKENS,
            field="judge",
            revision=revision,
            device=device,
            dtype=dtype,
            cache=cache_folder() / CACHE_FILE if use_cache else None,
        )


def _longest_pair(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> int:
    """Most tokens that the model takes: the smaller of the tokenizer's and the model's limits."""
    limits = [_NO_LIMIT, int(tokenizer.model_max_length)]
    positions = getattr(model.config, "max_position_embeddings", None)
    if positions:
        # RoBERTa and its kin count positions from behind the padding row of the table.
        tables = [module for name, module in model.named_modules() if name.endswith("position_embeddings")]
        padding = [t.padding_idx for t in tables if isinstance(t, nn.Embedding) and t.padding_idx is not None]
        limits.append(int(positions) - (padding[0] + 1 if padding else 0))
    return min(limits)
