"""Where answers are written: one process at a time, and only where they belong."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from filelock import FileLock, Timeout

from vispa.errors import InputError
from vispa.files.writing import check_output, unwritten

# Longest setting that a message quotes, in characters; fingerprints are longer.
_SHOWN = 40


@dataclass(frozen=True)
class Destination:
    """Where answers are written, and what its refusal says.

    Attributes:
        path: the output file, or the folder.
        kind: which of the two it is.
    """

    path: Path
    kind: Literal["output", "folder"]

    @property
    def advice(self) -> str:
        """What to do about something else that is there."""
        return f"Choose another {self.kind}, or --overwrite."

    @property
    def lock_file(self) -> Path:
        """The file that keeps other processes away; it stays, empty."""
        place = Path(os.path.realpath(self.path))
        return place / ".lock" if self.kind == "folder" else place.with_name(place.name + ".lock")

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other processes from writing there; folders on the way are made.

        Raises:
            InputError: another process writes there, it cannot be written to, or it is no ordinary
                file where a file is meant, or no folder where a folder is meant.
            OutputError: there is no room.
        """
        place = str(self.path)
        try:
            # First, since what is no file has no other beside it.
            if self.kind == "output":
                check_output(self.path)
            elif self.path.is_file():
                raise InputError(place, "is a file.", "Name a folder.")
            lock = FileLock(self.lock_file)
            check_output(self.lock_file)
            self.lock_file.parent.mkdir(parents=True, exist_ok=True)
            lock.acquire(timeout=0)
        except Timeout as error:
            advice = f"Wait for it, or choose another {self.kind}."
            raise InputError(place, "is being written by another process.", advice) from error
        except OSError as error:
            kind = "folder" if self.kind == "folder" else "file"
            raise unwritten(self.path, error, kind, "What is there is kept; make room and repeat.") from error
        try:
            yield
        finally:
            lock.release()

    def check_begun_here(self, earlier: Mapping[str, Any] | None, *, holds_answers: bool) -> None:
        """Refuse answers that no settings belong to.

        Args:
            earlier: settings of the earlier run; None where there are none.
            holds_answers: whether any answers are there.

        Raises:
            InputError: there are answers without settings.
        """
        if earlier is None and holds_answers:
            raise InputError(str(self.path), "was not begun by this command.", self.advice)

    def check_same_settings(
        self,
        differing: Sequence[str],
        earlier: Mapping[str, Any],
        settings: Mapping[str, Any],
    ) -> None:
        """Refuse to go on with other settings.

        Args:
            differing: names of the settings that differ from the earlier run's.
            earlier: the earlier run's settings, by name.
            settings: those of now.

        Raises:
            InputError: names them, those that are short enough with what they were and are.
        """
        if differing:
            named = [name + _change(name, earlier, settings) for name in differing]
            raise InputError(
                str(self.path),
                f"was begun with other {', '.join(named)}.",
                f"Use the same settings, choose another {self.kind}, or --overwrite.",
            )


def differing_settings(
    earlier: Mapping[str, Any], settings: Mapping[str, Any], leaving_out: Collection[str] = ()
) -> list[str]:
    """Names of the settings that differ, sorted; one that is not there is None."""
    names = {*earlier, *settings} - {*leaving_out}
    return sorted(name for name in names if earlier.get(name) != settings.get(name))


def _change(name: str, earlier: Mapping[str, Any], settings: Mapping[str, Any]) -> str:
    """What a setting was and is, where both can be read at a glance; digests and tables cannot."""
    if name not in earlier and name not in settings:
        return ""
    texts = [_in_words(table.get(name)) for table in (earlier, settings)]
    return "" if None in texts else f" ({texts[0]}, now {texts[1]})"


def _in_words(setting: object) -> str | None:
    if setting is None:
        return "not given"
    is_plain = isinstance(setting, str | bool | int | float)
    text = str(setting)
    return text if is_plain and len(text) <= _SHOWN and text else None
