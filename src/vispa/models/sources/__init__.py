"""Where models come from: what a name stands for, and the folder that it is loaded from."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from vispa.models.sources.gguf import find_gguf
from vispa.models.sources.named import find_named
from vispa.models.sources.progress import Progress

#: Each says in which folder the model of a name is, or None if the name is not of its kind. What none of them knows
#: is a folder in the layout of transformers, or a hub id.
SOURCES: tuple[Callable[[str, Progress | None], Path | None], ...] = (find_named, find_gguf)


def model_folder(name: str, progress: Progress | None = None) -> Path | None:
    """The folder to load a model from; None where the name is a folder of its own or a hub id.

    What has to be fetched or converted is, once, into the user's cache.

    Args:
        name: a named model (`smollm2`), a GGUF file, a folder with one, or anything else.
        progress: told of progress, with the stage's name, what was just done, and how much there is.

    Raises:
        FetchError: it cannot be fetched; the message says what to do.
        ModelError: it cannot be converted.
    """
    return next((folder for source in SOURCES if (folder := source(name, progress)) is not None), None)
