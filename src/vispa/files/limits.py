"""How large a file of each kind may be: read whole, an endless or huge one would fill the memory."""

from __future__ import annotations

from typing import Literal

#: What is read: a text on standard input; a file of situations, task items or community comments; a table
#: of pairs; TOML (recipe, prompts, task, values, settings); a mixture or weights; what a run wrote.
Kind = Literal["text", "items", "table", "toml", "mixture", "run", "settings"]

_MIB = 2**20

#: Largest file of each kind, in bytes.
MAX_BYTES: dict[Kind, int] = {
    "text": 1 * _MIB,
    "items": 512 * _MIB,
    "table": 64 * _MIB,
    "toml": 1 * _MIB,
    "mixture": 16 * _MIB,
    "run": 4096 * _MIB,
    "settings": 16 * _MIB,
}

#: How deep lists, objects and tables may lie in one another.
MAX_DEPTH = 64


def in_words(size: int) -> str:
    """A size in bytes as people say it: `1 MiB`."""
    return f"{size:,} bytes" if size < _MIB else f"{size / _MIB:,.0f} MiB"
