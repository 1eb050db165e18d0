"""Natural language inference: how probable it is that one text entails another."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from vispa.errors import ModelError, NumericalError, check_choice
from vispa.files.folders import cache_folder
from vispa.files.score_cache import ScoreCache, pair_key
from vispa.models.quiet import quietly

FloatArray = npt.NDArray[np.float64]

#: The judge of published Overton coverage (Modular Pluralism, 2406.15951).
PUBLISHED_JUDGE = "microsoft/deberta-v2-xlarge-mnli"
# The repository's main branch has a pickle only; this one holds the same weights as safetensors.
_PUBLISHED_REVISION = "refs/pr/3"

#: The file of judged pairs in the cache folder.
CACHE_FILE = "judged-pairs.sqlite"

_DTYPES = ("float32", "bfloat16", "float16")
_MAX_TOKENS = 512
_TOKENS_PER_BATCH = 8192
_PAIRS_PER_BATCH = 256


class NliJudge:
    """A sequence classifier that knows a label `entailment`.

    The probability is the softmax over all of the model's labels. Each different pair is judged
    once, in batches of similar length, and kept in a file under the cache folder, so a run that
    was cut off or is repeated goes on where it stopped.

    Attributes:
        name: what the caller asked for.
        fingerprint: of the model's configuration and weights.
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
        """Load the model from safetensors.

        Args:
            model: a folder or a hub id.
            revision: of the hub repository; the published judge has its safetensors beside the
                main branch, and is looked for there.
            device: as in torch; by default a GPU where there is one.
            dtype: torch dtype in which it runs; the published figures are float32.
            use_cache: read and write the file of judged pairs.

        Raises:
            ModelError: it cannot be loaded, or has no label `entailment`.
            InputError: an unknown dtype.
        """
        import torch
        from transformers import AutoModelForSequenceClassification, AutoTokenizer

        from vispa.models.checking import check_weights
        from vispa.models.fingerprint import model_fingerprint

        check_choice("dtype", dtype, _DTYPES)
        if revision is None and model == PUBLISHED_JUDGE:
            revision = _PUBLISHED_REVISION
        options: dict[str, Any] = {"trust_remote_code": False} | ({"revision": revision} if revision else {})
        try:
            with quietly():
                self._tokenizer = AutoTokenizer.from_pretrained(model, **options)
                loaded, report = AutoModelForSequenceClassification.from_pretrained(
                    model,
                    dtype=getattr(torch, dtype),
                    use_safetensors=True,
                    ignore_mismatched_sizes=True,
                    output_loading_info=True,
                    **options,
                )
        except Exception as error:
            # transformers raises a dozen kinds of errors here; all mean that these files cannot serve.
            first_line = (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")
            raise ModelError("judge", f"{model} cannot be loaded: {first_line}.", _ADVICE) from error
        # A classifier leaves the head of its pretraining behind.
        check_weights(model, loaded, {**report, "unexpected_keys": ()})
        self.name = model
        self._entailment = entailment_label(loaded.config.id2label)
        self._model = loaded.eval().requires_grad_(False)
        self._model.to(device or ("cuda" if torch.cuda.is_available() else "cpu"))
        self._max_tokens = min(_MAX_TOKENS, int(self._tokenizer.model_max_length))
        self.fingerprint = model_fingerprint(self._model)
        self._scope = f"{self.fingerprint} {dtype} {self._max_tokens}"
        self._cache = ScoreCache(cache_folder() / CACHE_FILE, kind="float64") if use_cache else None

    def entailment(self, pairs: Sequence[tuple[str, str]], progress: Callable[[int], None] | None = None) -> FloatArray:
        """Probability that the first text of each pair (premise) entails the second (hypothesis), [N].

        Pairs longer than 512 tokens are cut, the longer text first.

        Args:
            pairs: N pairs.
            progress: called with the number of different pairs just judged or found.

        Raises:
            NumericalError: the model's output is not finite.
        """
        keys = [pair_key(self._scope, pair) for pair in pairs]
        unknown = dict(zip(keys, pairs, strict=True))
        kept = self._cache.get(list(unknown)) if self._cache else {}
        known = {key: float(row[0]) for key, row in kept.items()}
        for key in known:
            del unknown[key]
        if progress is not None and known:
            progress(len(known))
        for batch in self._batches(unknown):
            found = dict(zip([key for key, _ in batch], self._judge([ids for _, ids in batch]), strict=True))
            if self._cache:
                self._cache.put({key: np.array([probability]) for key, probability in found.items()})
            known.update(found)
            if progress is not None:
                progress(len(batch))
        return np.array([known[key] for key in keys], dtype=np.float64)

    def _batches(self, pairs: Mapping[bytes, tuple[str, str]]) -> list[list[tuple[bytes, dict[str, list[int]]]]]:
        """Keys with token ids, longest first, cut under the budget of padded tokens and pairs."""
        if not pairs:
            return []
        premises, hypotheses = zip(*pairs.values(), strict=True)
        encoded = self._tokenizer(list(premises), list(hypotheses), truncation=True, max_length=self._max_tokens)
        rows = [{name: encoded[name][i] for name in encoded} for i in range(len(pairs))]
        batches: list[list[tuple[bytes, dict[str, list[int]]]]] = [[]]
        for key, row in sorted(zip(pairs, rows, strict=True), key=lambda entry: -len(entry[1]["input_ids"])):
            longest = len((batches[-1] or [(key, row)])[0][1]["input_ids"])
            if len(batches[-1]) == _PAIRS_PER_BATCH or (len(batches[-1]) + 1) * longest > _TOKENS_PER_BATCH:
                batches.append([])
            batches[-1].append((key, row))
        return batches

    def _judge(self, rows: list[dict[str, list[int]]]) -> list[float]:
        import torch

        inputs = self._tokenizer.pad(rows, return_tensors="pt").to(self._model.device)
        with torch.inference_mode():
            probabilities = self._model(**inputs).logits.double().softmax(-1)[:, self._entailment].cpu()
        if not probabilities.isfinite().all():
            raise NumericalError(f"{self.name}: a logit is not finite. Run the judge with dtype float32.")
        judged: list[float] = probabilities.tolist()
        return judged


def entailment_label(labels: Mapping[int, str]) -> int:
    """The number of the label `entailment`, whatever its case; models order their labels differently.

    Args:
        labels: number → name, from the model's configuration.

    Raises:
        ModelError: there is none.
    """
    for number, name in labels.items():
        if name.lower() == "entailment":
            return int(number)
    raise ModelError(
        "judge", f"has the labels {', '.join(labels.values())}.", "Name a model of natural language inference."
    )


_ADVICE = (
    "Name a folder with config.json, tokenizer and *.safetensors or a hub id that can be reached; "
    "a tokenizer kept as spm.model needs the packages sentencepiece and protobuf. "
    "Without such a model `embedding_coverage` gives a figure of its own."
)
