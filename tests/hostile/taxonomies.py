"""Folders of values that cannot be used."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from hostile.cases import Case, File, Out, done, refused
from hostile.files import TOML, UNREADABLE, Maker, make

_PAIRS = b"positive,negative\nI waited for her.,I left without her.\nI gave him time.,I hurried him.\n"
_VALUE = b'label = "patience"\nfamily = "f"\ndefinition = "Giving time."\n'


#: Files of values.toml that lead nowhere: the folder has none.
_NOT_THERE = ("dangling", "loop")


def _folder(values: Maker, **pairs: Maker) -> Callable[[Path], None]:
    """A taxonomy with this values.toml and these files of pairs."""

    def write(folder: Path) -> None:
        make(folder, "values.toml", values)
        for slug, maker in pairs.items():
            make(folder, f"pairs/{slug}.csv", maker)

    return write


def _own(more: bytes = b"", slug: bytes = b"patience", pairs: Maker = _PAIRS) -> Callable[[Path], None]:
    return _folder(b"[" + slug + b"]\n" + _VALUE + more, patience=pairs)


def _published(*names: str, text: bytes = b"question_1,question_2\na b,c d\ne f,g h\n") -> Callable[[Path], None]:
    def write(folder: Path) -> None:
        for name in names:
            make(folder, f"{name}_context_controlled.csv", text)

    return write


#: Folder → what it holds and words of the refusal.
FOLDERS: dict[str, tuple[Maker, tuple[str, ...]]] = {
    "bare": (Path.mkdir, ("neither values.toml", "vispa taxonomy new")),
    "no-value": (_folder(b"# nothing\n"), ("values.toml", "defines no value")),
    "no-table": (_folder(b'patience = "yes"'), ("[patience]", "is not a table")),
    "no-pairs": (_folder(b"[patience]\n" + _VALUE), ("patience.csv", "is missing")),
    "no-label": (_folder(b'[patience]\nfamily = "f"\ndefinition = "d"', patience=_PAIRS), ("label", "is missing")),
    "number": (_own(b"theory = 3\n"), ("field theory", "3")),
    "unknown": (_own(b'colour = "red"\n'), ("colour", "unknown")),
    "polarity": (_own(b'polarity = "shun"\n'), ("polarity", "'shun'", "avoid")),
    "alias-text": (_own(b'aliases = "waiting"\n'), ("aliases", "'waiting'")),
    "alias-blank": (_own(b'aliases = ["\\u200b"]\n'), ("aliases[0]", "empty")),
    "alias-markup": (_own(b'aliases = ["[/bold]"]\n'), ("aliases[0]", "sign [")),
    "alias-escape": (_own(b'aliases = ["\\u001b[31m"]\n'), ("aliases[0]", r"\x1b")),
    "alias-long": (_own(b'aliases = ["' + b"a" * 101 + b'"]\n'), ("aliases[0]", "100")),
    "theory-lines": (_own(b'theory = """a\nb"""\n'), ("theory", "line end")),
    "slug-path": (_own(slug=b'"../../../x"'), ("'../../../x'", "is not a name")),
    "slug-blank": (_own(slug=b'""'), ("is not a name",)),
    "slug-escape": (_own(slug=b'"\\u001b[31m"'), (r"x1b[31m", "is not a name")),
    "slug-long": (_own(slug=b"s" * 300), ("is not a name", "100")),
    "slug-dots": (_own(slug=b'".."'), ("is not a name",)),
    "one-pair": (_own(pairs=b"positive,negative\na b,c d\n"), ("patience.csv", "one pair", "at least two")),
    "pairs-empty": (_own(pairs=b""), ("patience.csv",)),
    "pairs-columns": (_own(pairs=b"good,bad\na,b\n"), ("patience.csv", "positive")),
    "pairs-comma": (_own(pairs=_PAIRS + b"I sat, and waited.,I left.\n"), ("patience.csv line 4", "quot")),
    "pairs-short": (_own(pairs=_PAIRS + b"I waited.\n"), ("patience.csv line 4", "negative")),
    "pairs-blank": (_own(pairs=_PAIRS + "​,I left.\n".encode()), ("patience.csv line 4", "positive")),
    "pairs-quote": (_own(pairs=_PAIRS + b'"I waited.,I left.\n'), ("patience.csv line 4", "quote")),
    "pairs-twice": (_own(pairs=b"positive,positive\na,b\n"), ("patience.csv", "positive", "twice")),
    "pairs-fifo": (_own(pairs=os.mkfifo), ("patience.csv", "no regular file")),
    "pairs-folder": (_own(pairs=Path.mkdir), ("patience.csv", "is a folder")),
    "pairs-utf-16": (_own(pairs=_PAIRS.decode().encode("utf-16")), ("patience.csv", "UTF-16")),
    "pairs-long": (_own(pairs=_PAIRS + b"x" * 200_000 + b",y\n"), ("patience.csv line 4", "200,000", "2,000")),
    "names": (
        _folder(b"[patience]\n" + _VALUE + b"[waiting]\n" + _VALUE, patience=_PAIRS, waiting=_PAIRS),
        ("[waiting]", "'patience'"),
    ),
    "published-twice": (_published("long-term_thinking", "long_term_thinking"), ("the name", "also belongs to")),
    "published-empty": (_published("karma", text=b""), ("karma_context_controlled.csv",)),
    "published-columns": (_published("karma", text=b"a,b\n1,2\n"), ("karma_context_controlled.csv", "question_1")),
    "published-name": (_published("[bold]"), ("[bold]", "is not a name")),
}

TAXONOMIES: dict[str, Maker] = {
    **{f"taxonomy-{name}": maker for name, (maker, _) in FOLDERS.items()},
    **{f"taxonomy-of-{name}": _folder(maker) for name, (maker, _) in TOML.items()},
    **{f"taxonomy-of-{name}": _folder(maker) for name, (maker, _) in UNREADABLE.items() if name not in _NOT_THERE},
    "taxonomy-sound": _own(),
}

TAXONOMY: tuple[Case, ...] = (
    *(
        refused("values", "--taxonomy", File("t", f"taxonomy-{name}"), say=words)
        for name, (_, words) in FOLDERS.items()
    ),
    *(
        refused("values", "--taxonomy", File("t", f"taxonomy-of-{name}"), say=("values.toml", *words))
        for name, (_, words) in TOML.items()
    ),
    *(
        refused("values", "--taxonomy", File("t", f"taxonomy-of-{name}"), say=("values.toml", word))
        for name, (_, word) in UNREADABLE.items()
        if name not in _NOT_THERE
    ),
    *(
        refused(*command, "--taxonomy", File("t", "taxonomy-slug-path"), say=("is not a name",))
        for command in (
            ("respond", "Ducks"),
            ("select", "Ducks"),
            ("fit",),
            ("batch", File("lines.txt"), "-o", Out("o.jsonl")),
            ("mixture", File("survey.json"), "-o", Out("m.json")),
            ("inspect", "-o", Out("study")),
            ("doctor",),
            ("eval", "--task", File("task.toml"), "-o", Out("r")),
        )
    ),
    refused("values", "--taxonomy", "/nowhere", say=("/nowhere", "is not a folder")),
    refused("values", "--taxonomy", "t" * 5_000, say=("cannot be used",)),
    refused("values", "--taxonomy", "/dev/zero", say=("/dev/zero", "is not a folder")),
    refused("respond", "Ducks", "--taxonomy", File("t", "taxonomy-sound"), "--k", "2", say=("k", "1 to 1")),
    refused("respond", "Ducks", "--taxonomy", File("t", "taxonomy-sound"), "--values", "karma", say="karma"),
    refused("taxonomy", "old", say="No such command"),
    refused("taxonomy", "new", say="DIR"),
    refused("taxonomy", "new", File("lines.txt"), say=("lines.txt", "is a file")),
    refused("taxonomy", "new", File("t", "taxonomy-sound"), say=("is not empty",)),
    refused("taxonomy", "new", File("l", "loop"), say=("cannot be written",)),
    refused("taxonomy", "diff", "built-in", say="B"),
    refused("taxonomy", "diff", "built-in", "/nowhere", say=("/nowhere", "is not a folder")),
    refused("taxonomy", "diff", "\x1b[31m[red]", "built-in", say=("is not a folder",)),
    refused("taxonomy", "diff", File("t", "taxonomy-slug-path"), "built-in", say=("is not a name",)),
    done("taxonomy", "diff", File("t", "taxonomy-sound"), "built-in", say="removed"),
    refused("taxonomy", "new", "/dev/full", say=("/dev/full", "is a file")),
    refused("taxonomy", "new", "/proc/mine", say=("/proc/mine", "cannot be written")),
    refused("taxonomy", "new", "n" * 5_000, say=("cannot be written",)),
    done("taxonomy", "new", Out("[bold] x"), say="[bold] x", writes=("[bold] x",)),
    done("values", "--taxonomy", File("t", "taxonomy-sound"), say="patience"),
)  # fmt: skip
