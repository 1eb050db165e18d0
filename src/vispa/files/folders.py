"""Where cached files live."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

#: Environment variable that moves the cache folder.
CACHE_VARIABLE = "VISPA_CACHE"


def cache_folder() -> Path:
    """The user's folder for banks and other things that can be computed again."""
    override = os.environ.get(CACHE_VARIABLE)
    if override:
        # Unit files and containers hand `~` on as it is written; where no home is known it stays.
        with suppress(RuntimeError):
            return Path(override).expanduser()
        return Path(override)
    import platformdirs

    return Path(platformdirs.user_cache_dir("vispa"))


def banks_folder() -> Path:
    """Where the cached banks of vectors are."""
    return cache_folder() / "banks"


def cached_banks() -> list[Path]:
    """The files of the cached banks, by name; those that are being written are left out."""
    folder = banks_folder()
    return sorted(path for path in folder.glob("*.safetensors") if path.is_file() and not path.name.startswith("."))
