"""The one policy of all caches: a cache never stops the work, and never changes what comes out."""

from __future__ import annotations

import logging
from pathlib import Path

from vispa.files.folders import CACHE_VARIABLE, cache_folder

_logger = logging.getLogger(__name__)

# Folders of which it was said that they are not used; a fault of the folder concerns all caches in it.
_said: set[Path] = set()


def say_unused(path: Path, reason: BaseException | str) -> None:
    """Warn that a cached file is not used; once a process for all files of the user's cache folder.

    Args:
        path: the file.
        reason: why not.
    """
    folder = cache_folder()
    place = folder if path.is_relative_to(folder) else path
    if place in _said:
        return
    _said.add(place)
    _logger.warning(
        "%s cannot be used as a cache (%s): what belongs there is computed again every time. "
        "Set %s to a folder that you may write to.",
        path,
        getattr(reason, "strerror", None) or str(getattr(reason, "problem", reason)).rstrip("."),
        CACHE_VARIABLE,
    )
