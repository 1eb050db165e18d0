"""Models with a name of their own, fetched on first use and kept in the user's cache."""

from __future__ import annotations

import difflib
import logging
import os
import shutil
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal

from filelock import FileLock, Timeout

from vispa.errors import ModelError
from vispa.files.folders import cache_folder
from vispa.files.reading import read_toml
from vispa.models.sources.archives import ENCODER_FILES, unpack
from vispa.models.sources.gguf import convert
from vispa.models.sources.progress import Progress
from vispa.models.sources.wheels import ANOTHER_MODEL, Piece, fetch
from vispa.request import EMBEDDED

_FILE = Path(__file__).with_name("named.toml")
_logger = logging.getLogger(__name__)
_OPEN = ("Apache-2.0", "MIT")
_ANOTHER_SELECTOR = "choose values with the encoder in the package (`--selector embedding`)"


@dataclass(frozen=True)
class NamedModel:
    """A model that is asked for by name.

    Attributes:
        name: what it is asked for by.
        label: what its makers call it.
        file: name of the file that it comes from: GGUF, or the zip archive of an encoder.
        sha256: of that file.
        pieces: the packages that carry the file.
        hub: where the original is on the hub.
        licence: its terms.
        megabytes: to download.
        note: what it is good for, in a sentence.
        kind: what it is.
    """

    name: str
    label: str
    file: str
    sha256: str
    pieces: tuple[Piece, ...]
    hub: str
    licence: str
    megabytes: int
    note: str
    kind: Literal["language model", "encoder"] = "language model"

    @property
    def folder(self) -> Path:
        """Where it is kept; the weights' content is part of the name, so that other weights are another folder."""
        return cache_folder() / "models" / f"{self.name}-{self.sha256[:12]}"

    @property
    def is_here(self) -> bool:
        """Whether it has been fetched."""
        needed = ENCODER_FILES if self.kind == "encoder" else ("config.json",)
        return all((self.folder / file).is_file() for file in needed)

    @property
    def is_open(self) -> bool:
        """Whether its licence is one of which whoever asks for it need not be told."""
        return self.licence in _OPEN

    @property
    def size(self) -> int:
        """Bytes that it takes on disk; 0 where it has not been fetched."""
        return sum(path.stat().st_size for path in self.folder.rglob("*") if path.is_file()) if self.is_here else 0

    def get(self, progress: Progress | None = None) -> Path:
        """Its folder, fetched and converted if it is not there.

        Args:
            progress: told of progress.

        Raises:
            FetchError: it cannot be fetched.
            ModelError: what was fetched is not it.
        """
        if self.is_here:
            return self.folder
        self.folder.parent.mkdir(parents=True, exist_ok=True)
        # Two processes that ask for the same model fetch it once.
        with FileLock(self.folder.with_name(self.folder.name + ".lock")):
            if not self.is_here:
                self._tidy()
                if not self.is_open:
                    _logger.warning("%s comes under terms of its makers: %s.", self.label, self.licence)
                with tempfile.TemporaryDirectory(dir=self.folder.parent, prefix=f".{self.folder.name}.") as temporary:
                    file = Path(temporary) / self.file
                    fetch(
                        self.name,
                        self.pieces,
                        file,
                        self.sha256,
                        megabytes=self.megabytes,
                        instead=_ANOTHER_SELECTOR if self.kind == "encoder" else ANOTHER_MODEL,
                        progress=progress,
                    )
                    if self.kind == "encoder":
                        unpack(file, self.folder)
                    else:
                        convert(file, self.folder, progress)
        return self.folder

    def remove(self) -> bool:
        """Delete it from the cache; whether it was there."""
        was_here = self.is_here
        if not self.folder.parent.is_dir():
            # A lock would make it.
            return was_here
        shutil.rmtree(self.folder, ignore_errors=True)
        lock = self.folder.with_name(self.folder.name + ".lock")
        # While somebody fetches it, what is half there is theirs, and so is the lock.
        with suppress(Timeout, OSError), FileLock(lock, timeout=0):
            self._tidy()
            lock.unlink(missing_ok=True)
        return was_here

    def _tidy(self) -> None:
        """Delete what killed processes were fetching or making ready; only the lock's holder does so."""
        for left in self.folder.parent.glob(f".{self.folder.name}.*"):
            shutil.rmtree(left, ignore_errors=True)


@cache
def named_models() -> dict[str, NamedModel]:
    """All of them by name."""
    table = read_toml(_FILE)
    return {
        name: NamedModel(name=name, pieces=tuple(Piece(**piece) for piece in entry.pop("pieces")), **entry)
        for name, entry in table.items()
    }


def named_model(name: str) -> NamedModel:
    """The model of a name.

    Raises:
        ModelError: no model has it, or the one that does ships with the package.
    """
    if name == EMBEDDED:
        advice = "There is nothing to fetch or remove: use it as it is (`--model embedded`)."
        raise ModelError("model", f"{name!r} ships with the package.", advice)
    if name not in named_models():
        raise ModelError("model", f"{name!r} is not a named model.", f"Choose {' or '.join(named_models())}.")
    return named_models()[name]


def find_named(name: str, progress: Progress | None = None) -> Path | None:
    """The folder of a named language model, fetched if need be; None where no model has this name.

    Raises:
        FetchError: it cannot be fetched.
        ModelError: what was fetched is not it, what has this name is an encoder, or one has it but for case and signs.
    """
    if name not in named_models():
        check_spelling(name)
        return None
    model = named_model(name)
    if model.kind == "encoder":
        advice = f"Choose values with it (`--selector {name}`), and name a language model as the model."
        raise ModelError("model", f"{name!r} is a sentence encoder, which writes no text.", advice)
    return model.get(progress)


def resembling(name: str) -> str:
    """Advice that names the model whose name a text without a slash resembles; empty where there is none."""
    known = {_plain(one): one for one in _models_that_write()}
    near = difflib.get_close_matches(_plain(name), known, n=1) if "/" not in name else []
    return f"Did you mean {known[near[0]]}? " if near else ""


def check_spelling(name: str, field: str = "model") -> None:
    """Refuse a model's name in other capitals or with other signs, rather than look for it on the hub.

    Args:
        name: that was given.
        field: what the caller named it in.

    Raises:
        ModelError: says which name is meant.
    """
    known = _models_that_write()
    if name in known or "/" in name:
        return
    meant = next((one for one in known if _plain(one) == _plain(name)), None)
    if meant is not None and not os.path.lexists(name):
        raise ModelError(field, f"{name!r} is not known.", f"Did you mean {meant}? See `vispa models list`.")


def _models_that_write() -> tuple[str, ...]:
    return (*(name for name, model in named_models().items() if model.kind != "encoder"), EMBEDDED)


def _plain(name: str) -> str:
    """Letters and digits alone, in small letters."""
    return "".join(sign for sign in name.casefold() if sign.isalnum())
