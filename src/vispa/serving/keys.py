"""The keys that open a server."""

from __future__ import annotations

import hashlib
import hmac
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from vispa.errors import InputError
from vispa.files.door import read_text, text_lines

#: Environment variable with keys, separated by commas.
VARIABLE = "VISPA_API_KEYS"
#: Shortest key, in characters: a shorter one can be guessed.
SHORTEST = 16
_LONGEST = 512


@dataclass(frozen=True)
class Keys:
    """Keys as their digests; none where everybody may ask.

    Attributes:
        digests: SHA-256 of each.
    """

    digests: tuple[bytes, ...] = ()

    @classmethod
    def of(cls, keys: Iterable[str], place: str) -> Keys:
        """Keys in plain text.

        Args:
            keys: each with what a header may hold.
            place: where they stand, for messages, which never show a key.

        Raises:
            InputError: one that is too short, too long, or holds what no key does.
        """
        found = []
        for number, key in enumerate(keys, 1):
            if not SHORTEST <= len(key) <= _LONGEST or not key.isascii() or not key.isprintable() or " " in key:
                advice = (
                    f"Give {SHORTEST} to {_LONGEST} letters, digits and signs, for example of `openssl rand -hex 24`."
                )
                raise InputError(place, f"key {number} is no usable key.", advice)
            found.append(_digest(key))
        return cls(tuple(dict.fromkeys(found)))

    @classmethod
    def load(cls, path: Path | None) -> Keys:
        """The keys of a file, one a line (`#` begins a remark), and of the environment.

        Raises:
            InputError: an unreadable file, one without a key, or a key as in `of`.
        """
        from_environment = [key.strip() for key in os.environ.get(VARIABLE, "").split(",") if key.strip()]
        digests = cls.of(from_environment, VARIABLE).digests
        if path is not None:
            lines = [line.strip() for line in text_lines(read_text(path, "toml"))]
            given = [line for line in lines if line and not line.startswith("#")]
            if not given:
                raise InputError(str(path), "holds no key.", "Write one a line.")
            digests += cls.of(given, str(path)).digests
        return cls(tuple(dict.fromkeys(digests)))

    def opened_by(self, authorization: bytes) -> bool:
        """Whether a header `Authorization` holds one of the keys; takes as long whichever it is."""
        scheme, _, key = authorization.partition(b" ")
        digest = hashlib.sha256(key.strip()).digest()
        matches = [hmac.compare_digest(digest, known) for known in self.digests]
        return scheme.lower() == b"bearer" and any(matches)


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode()).digest()
