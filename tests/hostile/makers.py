"""Every maker of a file or folder by its name."""

from __future__ import annotations

import os
from pathlib import Path

from hostile.banks import BANKS
from hostile.files import ITEMS, TOML, UNREADABLE, Maker
from hostile.runs import RUNS
from hostile.servers import SERVING
from hostile.settings import SETTINGS
from hostile.taxonomies import TAXONOMIES


def _hard_link(path: Path) -> None:
    os.link(path.parent / "lines.txt", path)


def _soft_link(path: Path) -> None:
    path.symlink_to("lines.txt")


MAKERS: dict[str, Maker] = {
    "lines.txt": b"Walking a neighbour's dog\nReturning a lost wallet\n",
    "markup.jsonl": b'{"text": "[/bold] \\u001b[31m {text}", "id": "[/x]"}\n{"text": "..", "id": "../../y"}\n',
    "hard-link": _hard_link,
    "soft-link": _soft_link,
    "empty-folder": Path.mkdir,
    **{name: maker for name, (maker, _) in UNREADABLE.items()},
    **{name: maker for name, (maker, _) in ITEMS.items()},
    **{f"{name}.toml": maker for name, (maker, _) in TOML.items()},
    **SETTINGS,
    **TAXONOMIES,
    **BANKS,
    **RUNS,
    **SERVING,
}
