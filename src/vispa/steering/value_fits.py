"""What fitting needs of each value, kept in the cache: a value that has not changed is not read again.

A file a value, named after the model, the value's sentences and all else that its numbers depend on. What was fitted on
the value's own pairs is kept as it is, for the estimators that compare values what they need of each
(`vispa.steering.estimators.base.Comparing`).
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import torch

from vispa.errors import BankError, VispaError
from vispa.files.caching import say_unused
from vispa.files.folders import cache_folder
from vispa.models.loading import LoadedModel
from vispa.steering.activations import ActivationSource, TransformersActivations
from vispa.steering.sealing import canonical, read_sealed, write_sealed

#: Raise the number when sentences are read or directions fitted in another way.
FORMAT = "vispa-value-1"
#: Larger files are kept only where the user asks for updates: of models with billions of weights they fill disks.
MOST_BYTES = 16_000_000

#: Of a model's files together; those that were not used for longest go first.
MOST_BYTES_OF_MODEL = 1_000_000_000

#: `residual_norm.{reading}` [N, L] and `{estimator}.{part}`, by name; of estimators of the registry alone, whose names
#: say with which settings they fit (`vispa.steering.fitting.fit_bank`).
ValueFit = Mapping[str, torch.Tensor]


class ValueFits:
    """The files of one model.

    Args:
        loaded: the model.
        fresh: use none of what is there, and replace it.
        large: keep files of any size.
        source: what reads activations; by default the model as transformers runs it.

    Attributes:
        source: see above.
        read: slugs of the values that had to be read.
    """

    def __init__(
        self, loaded: LoadedModel, *, fresh: bool = False, large: bool = False, source: ActivationSource | None = None
    ) -> None:
        self._loaded, self._fresh, self._large = loaded, fresh, large
        self.source = source or TransformersActivations(loaded)
        # Asked once: an engine that starts may change what they say.
        self._facts = self.source.facts
        self.read: list[str] = []
        self._used: set[Path] = set()

    def path(self, sentences: str) -> Path:
        """The file of a value's sentences, by their fingerprint."""
        about = {
            "format": FORMAT,
            "model": self._loaded.fingerprint,
            "tokenizer": self._loaded.tokenization.digest,
            "sentences": sentences,
            **self._facts,
        }
        name = hashlib.sha256(canonical(about).encode()).hexdigest()
        return folder_of(self._loaded.fingerprint) / f"{name[:40]}.safetensors"

    def get(self, sentences: str) -> dict[str, torch.Tensor]:
        """What is kept of a value; nothing where there is no file, or one that cannot be trusted."""
        path = self.path(sentences)
        self._used.add(path)
        try:
            if self._fresh or not path.is_file():
                return {}
            found = read_sealed(path)
            sound = found.whole and not found.broken and json.loads(found.header)["sentences"] == sentences
        except (BankError, OSError, KeyError, TypeError) as error:
            say_unused(path, error)
            return {}
        if not sound:
            return {}
        with suppress(OSError):
            path.touch()
        return found.tensors

    def keep(self, slug: str, sentences: str, fit: ValueFit) -> None:
        """Keep what a value that was just read gave; a cache that cannot be used stops nothing."""
        self.read.append(slug)
        if not self._large and sum(tensor.nbytes for tensor in fit.values()) > MOST_BYTES:
            return
        path = self.path(sentences)
        try:
            write_sealed(path, {"format": FORMAT, "sentences": sentences}, fit)
        except (VispaError, OSError) as error:
            say_unused(path, error)

    def tidy(self) -> None:
        """Delete what was not used for longest, but is not in use, where a model's files have become too many."""
        with suppress(OSError):
            files = {path: path.stat() for path in folder_of(self._loaded.fingerprint).glob("[!.]*.safetensors")}
            size = sum(one.st_size for one in files.values())
            for path in sorted(files.keys() - self._used, key=lambda path: files[path].st_mtime):
                if size <= MOST_BYTES_OF_MODEL:
                    return
                path.unlink(missing_ok=True)
                size -= files[path].st_size


def forget(model_fingerprint: str) -> None:
    """Delete what is kept of the values of a model."""
    shutil.rmtree(folder_of(model_fingerprint), ignore_errors=True)


def folder_of(model_fingerprint: str) -> Path:
    """Where the files of a model are."""
    return cache_folder() / "values" / model_fingerprint[:20]
