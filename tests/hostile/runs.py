"""Run folders that are damaged, foreign or of other items, and the commands that read or write them."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

from hostile.cases import Case, File, Out, done, refused
from hostile.files import Maker

_TASK = 'name = "lab/acts"\nfile = "acts.json"\nmode = "steerable"\nmetric = "agreement"\nsource = "s"\nlicence = "l"\n'
_ITEMS = [
    {"id": name, "text": f"Act {name}", "input": "Which?", "vrd": "karma", "options": ["Yes", "No"], "label": label}
    for name, label in (("a", "A"), ("b", "B"), ("c", "A"))
]


def _records(answers: str) -> str:
    lines = [
        {"id": item["id"], "text": item["text"], "response": letter, "answer": letter}
        for item, letter in zip(_ITEMS, answers, strict=True)
    ]
    return "".join(json.dumps(line) + "\n" for line in lines)


def write_run(folder: Path, items: list[dict[str, Any]] | None = None) -> None:
    """A scored run of one method over three items, with its task beside it."""
    from vispa.evaluation.scoring import score_folder

    folder.mkdir(parents=True, exist_ok=True)
    (folder / "records").mkdir()
    task = folder.parent / "task-of-runs.toml"
    task.write_text(_TASK)
    (folder.parent / "acts.json").write_text(json.dumps(_ITEMS if items is None else items))
    config = {"format": "vispa-run-1", "task": str(task), "methods": ["vanilla"], "folder": str(folder.parent)}
    (folder / "config.json").write_text(json.dumps({**config, "method_settings": {}}))
    (folder / "environment.json").write_text("{}")
    (folder / "records" / "vanilla.jsonl").write_text(_records("ABB"))
    score_folder(folder)


Damage = Callable[[Path], object]


def _damaged(damage: Damage) -> Callable[[Path], None]:
    def write(folder: Path) -> None:
        write_run(folder)
        damage(folder)

    return write


def _replaced(name: str, old: str, new: str) -> Damage:
    def damage(folder: Path) -> None:
        path = folder / name
        text = path.read_text()
        assert old in text, f"{old} is not in {text}"
        path.write_text(text.replace(old, new, 1))

    return damage


def _set(name: str, data: bytes) -> Damage:
    return lambda folder: (folder / name).write_bytes(data)


def _instead(name: str, maker: Damage) -> Damage:
    def damage(folder: Path) -> None:
        (folder / name).unlink()
        maker(folder / name)

    return damage


_RECORDS = "records/vanilla.jsonl"
DAMAGES: dict[str, tuple[Damage, tuple[str, ...]]] = {
    "no-config": (lambda folder: (folder / "config.json").unlink(), ("holds no run",)),
    "config-cut": (_set("config.json", b'{"format"'), ("config.json", "not valid JSON")),
    "config-list": (_set("config.json", b"[]"), ("config.json", "not a JSON object")),
    "config-format": (_replaced("config.json", "vispa-run-1", "vispa-run-9"), ("holds no run",)),
    "config-fifo": (_instead("config.json", os.mkfifo), ("config.json", "no regular file")),
    "config-nul": (_set("config.json", b"\0" * 100), ("config.json", "NUL")),
    "methods-path": (_replaced("config.json", '"vanilla"', '"../../x"'), ("config.json", "methods[0]")),
    "methods-none": (_replaced("config.json", '["vanilla"]', "[]"), ("config.json", "methods")),
    "methods-text": (_replaced("config.json", '["vanilla"]', '"vanilla"'), ("config.json", "methods")),
    "limit-below": (_replaced("config.json", '"methods"', '"limit": -1, "methods"'), ("config.json", "limit")),
    "limit-true": (_replaced("config.json", '"methods"', '"limit": true, "methods"'), ("config.json", "limit")),
    "task-number": (_replaced("config.json", '"task": ', '"task": 1, "was": '), ("config.json", "task")),
    "config-changed": (_replaced("config.json", "{}", '{"vanilla": {"x": 1}}'), ("config.json", "other settings")),
    "no-scores": (lambda folder: (folder / "scores.json").unlink(), ("scores.json", "is missing")),
    "scores-cut": (_set("scores.json", b'{"task": '), ("scores.json", "not valid JSON")),
    "scores-other": (_set("scores.json", b"{}"), ("scores.json", "is missing", "Score the run anew")),
    "scores-nan": (_replaced("scores.json", '"estimate": 0', '"estimate": NaN, "x": 0'), ("scores.json", "finite")),
    "scores-text": (_replaced("scores.json", '"estimate": 0', '"estimate": "0", "x": 0'), ("scores.json", "estimate")),
    "no-items": (lambda folder: (folder / "item-scores.jsonl").unlink(), ("item-scores.jsonl",)),
    "items-nan": (_replaced("item-scores.jsonl", "1.0", "NaN"), ("item-scores.jsonl", "line 1")),
    "items-changed": (_replaced("item-scores.jsonl", "1.0", "0.0"), ("item-scores.jsonl",)),
    "items-cut": (_replaced("item-scores.jsonl", "}}\n", "}"), ("item-scores.jsonl", "line 1")),
    "no-records": (lambda folder: (folder / _RECORDS).unlink(), ("vanilla",)),
    "records-changed": (_replaced(_RECORDS, '"answer": "A"', '"answer": "B"'), ("records", "vanilla")),
    "records-cut": (_replaced(_RECORDS, '"answer"', '"answ'), ("vanilla.jsonl line 1",)),
    "records-nan": (_replaced(_RECORDS, '"answer"', '"distribution": [NaN, 1], "answer"'), ("vanilla.jsonl line 1",)),
    "records-three": (
        _replaced(_RECORDS, '"answer"', '"distribution": [2, 3], "answer"'), ("vanilla.jsonl line 1", "distribution")
    ),
    "records-other": (_replaced(_RECORDS, '"id": "a"', '"id": "z"'), ("'z'", "no such item")),
    "records-twice": (_replaced(_RECORDS, '"id": "a"', '"id": "b"'), ("'b'", "twice")),
    "records-number": (_replaced(_RECORDS, '"id": "a"', '"id": 1.5'), ("vanilla.jsonl line 1", "id")),
    "records-fifo": (_instead(_RECORDS, os.mkfifo), ("vanilla.jsonl", "no regular file")),
    "records-utf-8": (_set(_RECORDS, b'{"id": "\xe9"}\n'), ("vanilla.jsonl line 1",)),
    "task-gone": (_replaced("config.json", "task-of-runs", "no-such-task"), ("no-such-task.toml", "no longer there")),
}  # fmt: skip


@cache
def _other_items() -> list[dict[str, Any]]:
    return [{**item, "text": "Another act"} for item in _ITEMS]


def _foreign(folder: Path) -> None:
    folder.mkdir()
    (folder / "thesis.tex").write_text("all my work")


def _half_foreign(folder: Path) -> None:
    (folder / "records").mkdir(parents=True)
    (folder / "records" / "mine.jsonl").write_text("{}\n")
    (folder / "config.json").write_text('{"my": "settings"}')


def _task_and_items(path: Path) -> None:
    path.write_text(_TASK)
    (path.parent / "acts.json").write_text(json.dumps(_ITEMS))


RUNS: dict[str, Maker] = {
    **{f"run-{name}": _damaged(damage) for name, (damage, _) in DAMAGES.items()},
    "run-sound": write_run,
    "task-and-items": _task_and_items,
    "run-copied": lambda path: shutil.copytree(path.parent / "sound", path),
    "foreign-folder": _foreign,
    "half-foreign-folder": _half_foreign,
}

_OWN_TASK = File("whole/task.toml", "task-and-items")

COMPARE: tuple[Case, ...] = (
    *(refused("compare", File("r", f"run-{name}"), File("r"), say=words) for name, (_, words) in DAMAGES.items()),
    refused("compare", say="'first'"),
    refused("drift", File("lines.txt"), say="NEW"),
    refused("drift", "/nowhere", File("lines.txt"), say="/nowhere"),
    refused("drift", "/dev/zero", File("lines.txt"), say="/dev/zero"),
    refused("drift", File("lines.txt"), File("lines.txt"), say="lines.txt line 1"),
    refused("drift", File("empty.txt"), File("empty.txt"), say=("reference", "0 answers")),
    refused("compare", File("sound", "run-sound"), say="'second'"),
    refused("compare", File("sound", "run-sound"), "/nowhere", say=("/nowhere", "holds no run")),
    refused("compare", File("sound", "run-sound"), "/dev/zero", say=("/dev/zero", "holds no run")),
    refused("compare", "r" * 5_000, "s", say=("no run",)),
    refused("compare", File("bare", "empty-folder"), File("bare"), say=("bare", "holds no run")),
    refused("compare", File("sound", "run-sound"), File("sound"), "--method", "vispa", say=("vispa",)),
    refused("compare", File("sound", "run-sound"), File("sound"), "--method", "\x1b[1m", say=(r"x1b[1m",)),
    refused("compare", File("sound", "run-sound"), File("sound"), "--data", "/nowhere", say=("/nowhere",)),
    refused("compare", File("sound", "run-sound"), File("sound"), "--seed", "x", say="--seed"),
    refused("compare", File("sound", "run-sound"), File("sound"), "--seed", "-1", say="seed"),
    done("compare", File("sound", "run-sound"), File("copied", "run-copied"), say="lab/acts: 3 items"),
)

FOLDERS: tuple[Case, ...] = (
    refused("eval", "--task", _OWN_TASK, "-o", File("f", "foreign-folder"), say=("thesis.tex", "no run wrote")),
    refused("eval", "--task", _OWN_TASK, "-o", File("f", "foreign-folder"), "--overwrite",
            say=("thesis.tex", "no run wrote")),
    refused("eval", "--task", _OWN_TASK, "-o", File("f", "half-foreign-folder"), "--overwrite",
            say=("no run wrote", "another folder")),
    refused("eval", "--task", _OWN_TASK, "-o", File("lines.txt"), say=("lines.txt",)),
    refused("eval", "--task", _OWN_TASK, "-o", "/dev/full", say=("/dev/full",)),
    refused("eval", "--task", _OWN_TASK, "-o", "/proc/run", say=("/proc/run", "cannot be written")),
    refused("eval", "--task", _OWN_TASK, "-o", "r" * 5_000, say=("cannot be written",)),
    refused("tune", "--minutes", "0", say=("--minutes", "above 0")),
    refused("tune", "--minutes", "-3", say="--minutes"),
    refused("tune", "--minutes", "nan", say="--minutes"),
    refused("tune", "--minutes", "inf", say="--minutes"),
    refused("tune", "--minutes", "soon", say="--minutes"),
    refused("tune", "--seed", "x", say="--seed"),
    refused("tune", "-o", File("lines.txt"), say=("lines.txt", "is a file")),
    refused("tune", "-o", "/proc/tuning", say=("/proc", "cannot be written")),
    refused("tune", "--taxonomy", Out("nothing"), say="nothing"),
    refused("doctor", "--taxonomy", Out("nothing"), say="nothing"),
    refused("doctor", "--recipe", Out("nothing.toml"), say="nothing.toml"),
    refused("doctor", "--dtype", "float8", say=("--dtype", "'float8'")),
    refused("doctor", "--option-reading", "leaves", say=("--option-reading", "'leaves'")),
    refused("doctor", "--polarity", "north", say=("--polarity", "'north'")),
    refused("doctor", "--api-url", "http://127.0.0.1:9", say=("--api-url", "no effect")),
    refused("doctor", "--k", "3", say="--k"),
    refused("doctor", "", say=("model", "is empty")),
    refused("doctor", "/nowhere/model", loads=True, say=("/nowhere/model", "not a folder")),
    refused("inspect", say="--output"),
    refused("inspect", "-o", File("f", "foreign-folder"), say=("thesis.tex",)),
    refused("inspect", "-o", File("lines.txt"), say=("lines.txt", "is a file")),
    refused("inspect", "-o", "/dev/full", say=("/dev/full", "is a file")),
    refused("inspect", "-o", "/proc/study", say=("/proc", "cannot be written")),
    refused("inspect", "-o", "r" * 5_000, say=("cannot be written",)),
    refused("inspect", "-o", Out("s"), "--only", "", say=("--only", "quality")),
    refused("inspect", "-o", Out("s"), "--only", "quality,dosage", say=("--only", "'dosage'")),
    refused("inspect", "-o", Out("s"), "--figures", "pdf", say=("--figures", "'pdf'", "svg")),
    refused("inspect", "-o", Out("s"), "--max-new-tokens", "0", say="max-new-tokens"),
    refused("inspect", "-o", Out("s"), "--values", "luck", say=("luck", "taxonomy")),
    refused("inspect", "-o", Out("s"), "--estimator", "magic", loads=True, say=("estimator", "'magic'", "mean")),
    refused("inspect", "/nowhere/model", "-o", Out("s"), loads=True, say=("/nowhere/model", "not a folder")),
    done("data", say=("needs a folder of data", "16 of")),
    refused("data", "/nowhere", say=("/nowhere", "is not a folder")),
    refused("data", File("lines.txt"), say=("lines.txt", "is not a folder")),
    refused("data", "d" * 5_000, say=("cannot be used",)),
    refused("data", File("f", "empty-folder"), "--task", "vital/x", say=("vital/x", "is not known")),
    done("data", File("f", "empty-folder"), say=("missing", "16 of")),
    done("data", File("f", "foreign-folder"), "--json", say='"items": null'),
)  # fmt: skip
