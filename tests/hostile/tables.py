"""All cases by what they are of, and those that are the same of several commands."""

from __future__ import annotations

from hostile import banks, runs, servers, settings, taxonomies, texts
from hostile.cases import Argument, Case, File, Out, refused
from hostile.files import ITEMS, TOML, UNREADABLE

#: The commands that read a file of situations, before and after its place.
_READING: tuple[tuple[tuple[Argument, ...], tuple[Argument, ...]], ...] = (
    (("batch",), ("-o", Out("o.jsonl"))),
    (("select", "--input"), ()),
    (("mixture",), ("-o", Out("m.json"))),
    (("inspect", "-o", Out("s"), "--prompts"), ()),
)
#: The options that read TOML.
_SETTING: dict[str, tuple[Argument, ...]] = {
    "recipe": ("respond", "Feeding ducks", "--recipe"),
    "prompts": ("respond", "Feeding ducks", "--prompts"),
    "task": ("eval", "-o", Out("r"), "--task"),
}


def _situations() -> tuple[Case, ...]:
    cases = [
        refused(*before, File(name), *after, say=words)
        for name, (_, words) in ITEMS.items()
        for before, after in _READING
        # What is the matter with a survey is told before its texts are looked at.
        if before != ("mixture",) or not {"is empty", "20,001 characters", "200,000 characters"} & set(words)
    ]
    for kind, (_, word) in UNREADABLE.items():
        cases += [
            refused(*before, File(f"{kind}.{suffix}", kind), *after, say=(kind, word))
            for (before, after), suffix in zip(_READING, ("json", "txt", "csv", "jsonl"), strict=True)
        ]
    return tuple(cases)


def _toml() -> tuple[Case, ...]:
    cases = [
        refused(*before, File(f"{name}.toml"), say=(f"{name}.toml", *words))
        for name, (_, words) in TOML.items()
        for before in _SETTING.values()
    ]
    cases += [
        refused(*before, File(f"{kind}.toml", kind), say=(kind, word))
        for kind, (_, word) in UNREADABLE.items()
        for before in _SETTING.values()
    ]
    return tuple(cases)


TABLES: dict[str, tuple[Case, ...]] = {
    "respond": texts.RESPOND,
    "select": texts.SELECT,
    "values": texts.VALUES,
    "batch": texts.BATCH,
    "situations": _situations(),
    "toml": _toml(),
    "recipes": settings.STEERING,
    "prompts": settings.WORDING,
    "mixtures": settings.MIXTURES,
    "config": settings.CONFIG,
    "eval": settings.EVAL,
    "taxonomies": taxonomies.TAXONOMY,
    "compare": runs.COMPARE,
    "folders": runs.FOLDERS,
    "bank": banks.BANK,
    "models": banks.MODEL,
    "serve": servers.SERVE,
    "remote": servers.REMOTE,
}
