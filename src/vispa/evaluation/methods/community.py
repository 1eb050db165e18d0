"""Comments of community models, and the two methods that read them: MoE and ModPlural.

Modular Pluralism (arXiv 2406.15951) lets small models, each trained on texts of one community,
comment on a situation; a larger one reads the comments.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, TypeVar

from pydantic import BaseModel, ConfigDict, RootModel

from vispa.errors import InputError
from vispa.evaluation.methods.base import Bench
from vispa.evaluation.methods.voices import Voice, answer_from_voices, where_spoken, with_voices
from vispa.evaluation.runs.folder import MethodAnswer
from vispa.files.append_log import Identifier
from vispa.files.door import read_bytes
from vispa.files.reading import JSON_LINES, json_entries, read_json
from vispa.files.validation import validated
from vispa.files.visible import is_blank
from vispa.generation.rows import Row
from vispa.generation.transformers import TransformersEngine
from vispa.items.asking import comment_request, item_case, situation
from vispa.items.item import Item
from vispa.models.loading import LoadedModel
from vispa.modes.case import NOTHING_SAID
from vispa.modes.prompts import Prompts
from vispa.modes.readings import read_options
from vispa.modes.templates import filled
from vispa.readers.base import ChatModel, Failure, Unfinished
from vispa.request import LETTERS, Sampling

K = TypeVar("K")
V = TypeVar("V")

_SUFFIXES = (".json", *JSON_LINES)
_COMMENT_FIELDS = ("comment", "output")
_TEXT_FIELDS = ("situation", "question", "text", "input")


class Community(Protocol):
    """Comments from elsewhere.

    Attributes:
        settings: what determines the comments, as JSON can say it.
    """

    settings: dict[str, Any]

    def comments(self, items: Sequence[Item], prompts: Prompts, sampling: Sampling) -> list[list[Voice] | Failure]:
        """For each item one comment of every member, or why there is none."""
        ...


class ModelCommunity:
    """Other local models, unsteered, as community models.

    They stay loaded side by side: models that do not fit together are better run one after another
    and read from files (`FileCommunity`).

    Args:
        load: name → the model; called when its comments are first needed.
    """

    def __init__(self, load: Mapping[str, Callable[[], LoadedModel]]) -> None:
        _check_count(len(load), "community")
        self._load = dict(load)
        self._models: dict[str, LoadedModel] = {}
        self._known: dict[tuple[tuple[bool, Identifier], str, Sampling], list[Voice] | Failure] = {}
        self.settings: dict[str, Any] = {"models": list(load)}

    def comments(self, items: Sequence[Item], prompts: Prompts, sampling: Sampling) -> list[list[Voice] | Failure]:
        """See `Community.comments`; comments are kept, so that MoE and ModPlural share them."""
        requests = [comment_request(item, prompts) for item in items]
        keys = [(_key(item), request, sampling) for item, request in zip(items, requests, strict=True)]
        if any(key not in self._known for key in keys):
            said = [self._said(name, requests, sampling) for name in self._load]
            for key, *voices in zip(keys, *said, strict=True):
                spoken = [voice for voice in voices if isinstance(voice, Voice)]
                failed = next((voice for voice in voices if isinstance(voice, Failure)), None)
                self._known[key] = failed or spoken
        return [self._known[key] for key in keys]

    def _said(self, name: str, requests: Sequence[str], sampling: Sampling) -> list[Voice | Failure]:
        if name not in self._models:
            self._models[name] = self._load[name]()
        model = self._models[name]
        engine = TransformersEngine(model)
        rows = [Row(engine.chat_prompt(request)) for request in requests]
        return [
            Failure(f"The community model {name} gave no comment: {Unfinished().reason}")
            if one.unfinished
            else Voice(name, one.text, name, one.tokens)
            for one in engine.generate(rows, sampling)
        ]


class FileCommunity:
    """Comments from files, one file a community model.

    Each file (`*.json`, or `*.jsonl` with one object a line) is written in one of two ways. As
    Modular Pluralism writes it: an object of the items' identifiers with their comments,
    `{"17": "…", "18": "…"}`, or a list of such objects. Or as a list of objects with the comment
    as `comment` or `output` and the item's own `id`, its text (`situation`, `question`, `text` or
    `input`), or both. Files are joined to items by identifier where an object has one, else by
    exact text, never by position; where it has both, both must agree.

    Args:
        folder: of the files; a file's name without suffix is what its model is called.

    Raises:
        InputError: no file, an object without comment or without anything to join by, or two
            different comments of a model on one item.
    """

    def __init__(self, folder: Path) -> None:
        files = sorted(path for path in folder.glob("*") if path.suffix.lower() in _SUFFIXES)
        if not files:
            raise InputError(str(folder), f"holds no *{' or *'.join(_SUFFIXES)}.", "Give one file a community model.")
        _check_count(len(files), str(folder))
        self._members = {path.stem: _Member(path) for path in files}
        if len(self._members) < len(files):
            raise InputError(str(folder), "holds two files of one name.", "Name each file after its model.")
        digests = {path.stem: hashlib.sha256(read_bytes(path, "items")).hexdigest() for path in files}
        self.settings: dict[str, Any] = {"files": digests}

    def comments(self, items: Sequence[Item], prompts: Prompts, sampling: Sampling) -> list[list[Voice] | Failure]:
        """See `Community.comments`; an item on which a model has no comment fails."""
        return [self._voices(item) for item in items]

    def _voices(self, item: Item) -> list[Voice] | Failure:
        voices = []
        for name, member in self._members.items():
            text = member.comment(item)
            if text is None:
                return Failure(f"The community model {name} has no comment on it.")
            voices.append(Voice(name, text, name))
        return voices


class _Entry(BaseModel):
    """One object of a community file; what else it holds is left alone."""

    model_config = ConfigDict(extra="ignore", frozen=True, strict=True)

    id: int | str | None = None
    comment: str | None = None
    output: str | None = None
    situation: str | None = None
    question: str | None = None
    text: str | None = None
    input: str | None = None

    def first(self, names: Sequence[str]) -> str | None:
        """The first of some fields that is there."""
        texts: list[str | None] = [getattr(self, name) for name in names]
        return next((text.strip() for text in texts if text is not None), None)


class _Named(RootModel[dict[str, str]]):
    """Identifier → comment, as Modular Pluralism writes it."""

    model_config = ConfigDict(strict=True)


class _Member:
    """The comments of one file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._by_id: dict[tuple[bool, Identifier], tuple[str | None, str]] = {}
        # An object's names are texts, whatever the identifiers are in the task.
        self._by_name: dict[str, str] = {}
        self._by_text: dict[str, str] = {}
        for place, entry in _entries(path):
            if isinstance(entry, Mapping) and not set(entry) & set(_Entry.model_fields):
                for name, comment in validated(_Named, entry, place).root.items():
                    self._keep(self._by_name, name, comment.strip(), place)
            else:
                self._add(validated(_Entry, entry, place), place)
        if not (self._by_id or self._by_name or self._by_text):
            raise InputError(str(path), "holds no comment.", "Give the comments of one model on the task's items.")

    def _add(self, entry: _Entry, place: str) -> None:
        comment, text = entry.first(_COMMENT_FIELDS), entry.first(_TEXT_FIELDS)
        if comment is None:
            raise InputError(place, f"has no text {' or '.join(_COMMENT_FIELDS)}.", "Add the model's comment.")
        if entry.id is not None:
            self._keep(self._by_id, (isinstance(entry.id, str), entry.id), (text, comment), place)
        elif text is not None:
            self._keep(self._by_text, text, comment, place)
        else:
            raise InputError(place, "has neither id nor text.", f"Add id, or one of {', '.join(_TEXT_FIELDS)}.")

    @staticmethod
    def _keep(known: dict[K, V], key: K, comment: V, place: str) -> None:
        """Keep a comment, unless another one is there."""
        if known.setdefault(key, comment) != comment:
            raise InputError(place, "comments anew on an item that has a comment.", "Keep one comment an item.")

    def comment(self, item: Item) -> str | None:
        """The comment on an item.

        Raises:
            InputError: the identifier's text in the file is another one, so the file belongs to another task.
        """
        texts = (item.text, item.prompt.strip(), situation(item))
        text, comment = self._by_id.get(_key(item), (None, None))
        if comment is None:
            by_text = next((self._by_text[text] for text in texts if text in self._by_text), None)
            return self._by_name.get(str(item.id), by_text)
        if text is not None and text not in texts:
            raise InputError(
                f"{self.path} id {item.id!r}", "has another text than the task's item.", "Give this task's comments."
            )
        return comment


def _entries(path: Path) -> Iterator[tuple[str, Any]]:
    """What a community file holds, each with its place: one object, or the entries of a list."""
    if path.suffix.lower() in JSON_LINES:
        yield from ((place, value) for _, place, value in json_entries(path))
        return
    found = read_json(path, "items")
    if isinstance(found, list):
        yield from ((f"{path} item {number}", entry) for number, entry in enumerate(found, 1))
    else:
        yield str(path), found


class ModPlural:
    """All community comments, aggregated as VISPA's are: the method of Modular Pluralism.

    Raises:
        InputError: the bench has no community.
    """

    name = "modplural"

    def __init__(self, bench: Bench) -> None:
        self.bench, self.community = bench, _community(bench, self.name)
        self.settings: dict[str, Any] = {"community": self.community.settings}

    def answer(self, items: Sequence[Item]) -> list[MethodAnswer]:
        """See `Method.answer`."""
        spoken = self.community.comments(items, self.bench.wording, self.bench.sampling)
        return where_spoken(items, spoken, lambda present, voices: answer_from_voices(self.bench, present, voices))


class MoE:
    """One community comment, picked by the reader from the situation alone, whatever the mode.

    In Overton mode the comment is the response as it stands; in the others the question is
    answered with it as the only passage. The record keeps the picked comment.

    Raises:
        InputError: the bench has no community.
    """

    name = "moe"

    def __init__(self, bench: Bench) -> None:
        self.bench, self.community = bench, _community(bench, self.name)
        self.settings: dict[str, Any] = {"community": self.community.settings}

    def answer(self, items: Sequence[Item]) -> list[MethodAnswer]:
        """See `Method.answer`."""
        spoken = self.community.comments(items, self.bench.wording, self.bench.sampling)
        return where_spoken(items, [_with_words(voices) for voices in spoken], self._answer)

    def _answer(self, items: Sequence[Item], voices: Sequence[Sequence[Voice]]) -> list[MethodAnswer]:
        picked = [found if isinstance(found, Failure) else [found] for found in self._pick(items, voices)]
        answer = self._as_it_stands if items and items[0].mode == "overton" else self._as_passage
        answers = where_spoken(items, picked, answer)
        # Every member has spoken, also those that were not picked.
        return [
            found.model_copy(update={"tokens": sum(voice.tokens for voice in all_of_them)})
            for found, all_of_them in zip(answers, voices, strict=True)
        ]

    def _pick(self, items: Sequence[Item], voices: Sequence[Sequence[Voice]]) -> list[Voice | Failure]:
        reader: ChatModel = self.bench.vispa.reader
        prompts = [self._picking(item, spoken) for item, spoken in zip(items, voices, strict=True)]
        comments = [[voice.text for voice in spoken] for spoken in voices]
        found = read_options(reader, prompts, comments, self.bench.wording)
        return [
            fit if isinstance(fit, Failure) else spoken[int(fit.distribution.argmax())]
            for fit, spoken in zip(found, voices, strict=True)
        ]

    def _picking(self, item: Item, voices: Sequence[Voice]) -> str:
        listed = "\n".join(f"{letter}. {voice.text}" for letter, voice in zip(LETTERS, voices, strict=False))
        return filled(self.bench.prompts.best, text=item_case(item).text, comments=listed)

    @staticmethod
    def _as_it_stands(items: Sequence[Item], picked: Sequence[Sequence[Voice]]) -> list[MethodAnswer]:
        return [with_voices(MethodAnswer(response=voices[0].text), voices) for voices in picked]

    def _as_passage(self, items: Sequence[Item], picked: Sequence[Sequence[Voice]]) -> list[MethodAnswer]:
        return answer_from_voices(self.bench, items, picked)


def _with_words(voices: Sequence[Voice] | Failure) -> Sequence[Voice] | Failure:
    """The voices that say something."""
    if isinstance(voices, Failure):
        return voices
    return [voice for voice in voices if not is_blank(voice.text)] or NOTHING_SAID


def _community(bench: Bench, method: str) -> Community:
    if bench.community is None:
        raise InputError(
            "community", f"is missing; {method} needs it.", "Name local models, or a folder of comments in JSON files."
        )
    return bench.community


def _check_count(count: int, place: str) -> None:
    if not 1 <= count <= len(LETTERS):
        raise InputError(place, f"names {count} community models.", f"Give 1 to {len(LETTERS)}.")


def _key(item: Item) -> tuple[bool, Identifier]:
    """The number 1 and the text "1" are different identifiers."""
    return isinstance(item.id, str), item.id
