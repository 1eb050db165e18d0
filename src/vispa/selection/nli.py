"""Selection by zero-shot natural language inference: the paper's gate (section 3.1)."""

from __future__ import annotations

import hashlib
import inspect
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import nn
from transformers import (
    AutoConfig,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    PreTrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

from vispa.errors import InputError, ModelError, NumericalError
from vispa.files.folders import cache_folder
from vispa.files.score_cache import ScoreCache
from vispa.models.encoder import FloatArray
from vispa.models.fingerprint import model_fingerprint
from vispa.models.quiet import quietly
from vispa.taxonomy import Taxonomy

#: The paper's model.
DEFAULT_NLI_MODEL = "sileod/deberta-v3-base-tasksource-nli"
#: The paper's hypothesis; `{label}` stands for the value's label.
HYPOTHESIS = "This text is relevant to the value of {label}."
#: Most tokens of a batch, padding included. A pair that is longer alone runs alone.
TOKENS_PER_BATCH = 8192

CACHE_FILE = "scores.sqlite3"

# Longest pair where neither tokenizer nor model sets a limit; more than a text can have.
_NO_LIMIT = 1_000_000
_ADVICE = "Name a folder with config.json, tokenizer and *.safetensors, or a hub id that can be reached."


class NliSelector:
    """Probability that a text entails a hypothesis about each value, each value on its own.

    The text is the premise. The score of a value is the softmax over the pair's [contradiction,
    entailment] logits, its entailment part: what the zero-shot pipeline of transformers calls
    `multi_label=True` (Yin et al. 2019, arXiv 1909.00161). A text costs V forward passes, which
    run in batches of similar length. Where a pair is longer than the model takes, the text is
    cut at its end; the hypothesis never is.

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
        tokens_per_batch: int = TOKENS_PER_BATCH,
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
            tokens_per_batch: most tokens of a batch, padding included.
            cache: folder that keeps scores; by default in the user's cache folder, None for none.

        Raises:
            ModelError: the model cannot be loaded, or is not one for NLI.
            InputError: a template without `{label}` or with no room left for the text, or a
                batch of no tokens.
        """
        if "{label}" not in template:
            raise InputError("template", f"{template!r} names no value.", "Write {label} where the label goes.")
        if tokens_per_batch < 1:
            raise InputError("tokens-per-batch", f"is {tokens_per_batch}.", "Give at least 1.")
        self.taxonomy, self.name = taxonomy, f"nli:{model}"
        self._tokens_per_batch = tokens_per_batch
        self._tokenizer, self._model = _load(model, device, dtype, trust_remote_code)
        self._labels = torch.tensor(nli_positions(self._model.config, model))
        self._longest = _longest_pair(self._model, self._tokenizer)
        self._hypotheses = [template.replace("{label}", value.label) for value in taxonomy.values]
        special = self._tokenizer.num_special_tokens_to_add(pair=True)
        self._hypothesis_lengths = self._lengths(self._hypotheses) + special
        self._check_room()
        folder = cache_folder() / "nli" if cache == "default" else cache
        self._cache = None if folder is None else ScoreCache(folder / CACHE_FILE, len(taxonomy))
        self._identity = self._fingerprint() if self._cache else b""

    def scores(self, texts: Sequence[str], progress: Callable[[int], None] | None = None) -> FloatArray:
        """See `Selector.scores`.

        Raises:
            NumericalError: a score is not finite.
        """
        scores = np.empty((len(texts), len(self.taxonomy)), dtype=np.float32)
        places: dict[str, list[int]] = {}
        for place, text in enumerate(texts):
            places.setdefault(text, []).append(place)
        for text, row in self._rows(list(places)):
            scores[places[text]] = row
            if progress is not None:
                progress(len(places[text]))
        return scores

    def _rows(self, texts: Sequence[str]) -> Iterator[tuple[str, FloatArray]]:
        """Every text with its scores [V]: first those in the cache, then as they are computed."""
        if self._cache is None:
            for finished in self._computed(texts):
                yield from finished.items()
            return
        keys = {text: self._key(text) for text in texts}
        kept = self._cache.get(list(keys.values()))
        yield from ((text, kept[key]) for text, key in keys.items() if key in kept)
        for finished in self._computed([text for text, key in keys.items() if key not in kept]):
            # Kept at once, so that an interrupted run goes on where it stopped.
            self._cache.put({keys[text]: row for text, row in finished.items()})
            yield from finished.items()

    def _computed(self, texts: Sequence[str]) -> Iterator[dict[str, FloatArray]]:
        """After each batch that finished a text, the texts that it finished with their scores [V]."""
        if not texts:
            return
        values = len(self._hypotheses)
        lengths = np.minimum(self._lengths(texts)[:, None] + self._hypothesis_lengths, self._longest).ravel()
        found = np.empty((len(texts), values), dtype=np.float32)
        missing = np.full(len(texts), values)
        for batch in batches(lengths, self._tokens_per_batch):
            rows, columns = np.divmod(batch, values)
            found[rows, columns] = self._entailment(
                [texts[row] for row in rows], [self._hypotheses[column] for column in columns]
            )
            np.subtract.at(missing, rows, 1)
            finished = [row for row in np.unique(rows) if missing[row] == 0]
            if finished:
                self._check_finite(found[finished])
                yield {texts[row]: found[row] for row in finished}

    @torch.inference_mode()
    def _entailment(self, premises: list[str], hypotheses: list[str]) -> FloatArray:
        """Probability of entailment of each pair, [B]."""
        tokens = self._tokenizer(
            premises,
            hypotheses,
            truncation="only_first",
            max_length=self._longest,
            padding=True,
            return_tensors="pt",
        ).to(self._model.device)
        # A classifier on a decoder would keep keys and values that nothing reads.
        options = {"use_cache": False} if "use_cache" in inspect.signature(self._model.forward).parameters else {}
        logits = self._model(**tokens, **options).logits.float().cpu()
        probabilities: FloatArray = logits[:, self._labels].softmax(-1)[:, 1].numpy()
        return probabilities

    def _lengths(self, texts: Sequence[str]) -> np.ndarray[Any, np.dtype[np.int64]]:
        """Tokens of each text without special ones, [N]."""
        tokens = self._tokenizer(list(texts), add_special_tokens=False, verbose=False)["input_ids"]
        return np.array([len(ids) for ids in tokens], dtype=np.int64)

    def _check_room(self) -> None:
        longest = int(self._hypothesis_lengths.max())
        if longest >= self._longest:
            slug = list(self.taxonomy)[int(self._hypothesis_lengths.argmax())]
            raise InputError(
                "template",
                f"makes {longest} tokens for {slug}, where the model takes {self._longest} with the text.",
                "Shorten the template or the value's label.",
            )

    def _check_finite(self, rows: FloatArray) -> None:
        wrong = np.argwhere(~np.isfinite(rows))
        if len(wrong):
            slug = list(self.taxonomy)[int(wrong[0, 1])]
            raise NumericalError(f"{self.name}: the score of {slug} is not finite. Load the model with dtype float32.")

    def _fingerprint(self) -> bytes:
        """All that the scores depend on besides the text.

        The hypotheses' tokens stand for the tokenizer, whose vocabulary would take long to read.
        """
        parts = {
            "model": model_fingerprint(self._model),
            "dtype": str(self._model.dtype),
            "labels": self._labels.tolist(),
            "longest": self._longest,
            "hypotheses": self._hypotheses,
            "tokens": self._tokenizer(self._hypotheses)["input_ids"],
        }
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).digest()

    def _key(self, text: str) -> bytes:
        return hashlib.sha256(self._identity + text.encode("utf-8", "surrogatepass")).digest()


def batches(lengths: np.ndarray[Any, np.dtype[np.int64]], budget: int) -> Iterator[np.ndarray[Any, np.dtype[np.int64]]]:
    """Indices of items of similar length, in batches of at most `budget` tokens with padding.

    The longest come first, so that memory that does not suffice shows at the start. An item
    longer than the budget is a batch of its own.

    Args:
        lengths: tokens of each item, [N].
        budget: most tokens of a batch.
    """
    order = np.argsort(-lengths, kind="stable")
    start = 0
    while start < len(order):
        width = max(int(lengths[order[start]]), 1)
        stop = start + max(budget // width, 1)
        yield order[start:stop]
        start = stop


def nli_positions(config: PreTrainedConfig, model: str) -> tuple[int, int]:
    """Positions of the logits for (contradiction, entailment), from the names of the labels.

    Names count that begin with `contra` and `entail`, in any case. In a model of two labels,
    one that begins with `not` and goes on with `entail` is the contradiction.

    Args:
        config: with `label2id` and `id2label`.
        model: its name, for the message.

    Raises:
        ModelError: one of the two is missing, or the two tables of names differ.
    """
    by_name = {str(name): int(position) for name, position in (config.label2id or {}).items()}
    by_position = {str(name): int(position) for position, name in (config.id2label or {}).items()}
    found = {positions for names in (by_name, by_position) if (positions := _positions(names)) is not None}
    if len(found) == 1:
        return found.pop()
    if found:
        raise ModelError("model", f"{model} has label2id and id2label that differ.", "Correct its config.json.")
    names = ", ".join(sorted({*by_name, *by_position})) or "none"
    raise ModelError(
        "model",
        f"{model} has no labels for entailment and contradiction (its labels: {names}).",
        f"Name a model trained on NLI, such as {DEFAULT_NLI_MODEL}, or name the labels in its config.json.",
    )


def _positions(names: Mapping[str, int]) -> tuple[int, int] | None:
    letters = {"".join(filter(str.isalpha, name.lower())): position for name, position in names.items()}

    def beginning(with_: str) -> int | None:
        return next((position for name, position in letters.items() if name.startswith(with_)), None)

    contradiction, entailment = beginning("contra"), beginning("entail")
    if contradiction is None and len(names) == 2:
        contradiction = beginning("notentail")
    if contradiction is None or entailment is None:
        return None
    return contradiction, entailment


def _load(
    name: str, device: str | None, dtype: str | torch.dtype, trust_remote_code: bool
) -> tuple[PreTrainedTokenizerBase, PreTrainedModel]:
    """Tokenizer and model in evaluation mode; see `NliSelector`."""
    looks_local = name.startswith((".", "/", "~")) or name.count("/") > 1
    if looks_local and not Path(name).is_dir():
        raise ModelError("model", f"{name} is not a folder.", _ADVICE)
    device = device or ("cuda" if torch.cuda.is_available() else "cpu")
    options: dict[str, Any] = {"trust_remote_code": trust_remote_code}
    try:
        with quietly():
            config = AutoConfig.from_pretrained(name, **options)
            nli_positions(config, name)
            tokenizer = AutoTokenizer.from_pretrained(name, **options)
            model, report = AutoModelForSequenceClassification.from_pretrained(
                name, config=config, dtype=dtype, use_safetensors=True, output_loading_info=True, **options
            )
        model.eval().requires_grad_(False).to(device)
    except ModelError:
        raise
    except Exception as error:
        # transformers raises a dozen kinds of errors here; all mean that these files cannot serve.
        reason = next(iter(str(error).strip().splitlines()), type(error).__name__).rstrip(".")
        raise ModelError("model", f"{name} cannot be loaded: {reason}.", _ADVICE) from error
    if report["missing_keys"]:
        # transformers fills them with random numbers and goes on.
        missing = sorted(report["missing_keys"])[0]
        raise ModelError("model", f"{name} holds no weights for {missing}.", "Name a model trained on NLI.")
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    if model.config.pad_token_id is None:
        model.config.pad_token_id = tokenizer.pad_token_id
    return tokenizer, model


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
