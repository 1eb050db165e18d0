"""A run folder that has been read: its items, its records, and what became of each."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from vispa.errors import InputError
from vispa.evaluation.metrics import METRICS
from vispa.evaluation.runs.folder import ItemRecord, RunFolder
from vispa.evaluation.tasks import LoadedTask, Task, load_task
from vispa.files.append_log import Identifier
from vispa.items.item import Item

Outcome = Literal["answered", "unreadable", "failed", "missing"]


@dataclass(frozen=True)
class Run:
    """A run folder that has been read.

    Attributes:
        folder: where it is.
        config: what the run was made with.
        task: whose items were answered.
        items: the run's items, in the task's order.
        records: method → identifier → record, in the run's order of methods.
    """

    folder: Path
    config: dict[str, Any]
    task: Task
    items: tuple[Item, ...]
    records: dict[str, dict[Identifier, ItemRecord]]

    @property
    def ids(self) -> list[Identifier]:
        """Identifiers of the items."""
        return [item.id for item in self.items]

    @property
    def items_digest(self) -> str:
        """SHA-256 of all items, which tells whether two runs had the same."""
        return _digest(item.model_dump(mode="json") for item in self.items)

    @property
    def config_digest(self) -> str:
        """SHA-256 of the settings; where the data lies is none of them."""
        return _digest([{name: setting for name, setting in self.config.items() if name != "folder"}])

    def records_digest(self, method: str) -> str:
        """SHA-256 of a method's records, whatever the order of their lines."""
        found = self.records[method]
        return _digest(found[i].model_dump(mode="json") for i in self.ids if i in found)

    def outcome(self, method: str, item: Item) -> Outcome:
        """What became of an item."""
        record = self.records[method].get(item.id)
        if record is None:
            return "missing"
        if record.error is not None:
            return "failed"
        readable = METRICS[self.task.metric].is_readable(item, record)
        return "answered" if readable else "unreadable"

    def answers(self, method: str) -> list[ItemRecord | None]:
        """A method's records in the order of the items; None where an item failed or is missing."""
        found = [self.records[method].get(item.id) for item in self.items]
        return [None if record is None or record.error is not None else record for record in found]


def read_run(folder: Path, data: Path | None = None) -> Run:
    """Read a run folder's settings, items and records.

    Args:
        folder: of the run.
        data: folder of the data sets, if it has moved since the run; the definition of a task of your own is looked
            for there too.

    Raises:
        InputError: no run folder, no task, no items, or a record that is malformed, of an item that the
            run does not have, or of one that has a record already.
    """
    config = RunFolder(folder).config()
    where = data or (Path(config["folder"]) if config.get("folder") else None)
    return with_records(folder, config, load_task(_task(folder, config["task"], data), where))


def _task(folder: Path, reference: str, data: Path | None) -> str | Path:
    """The task of a run, whose definition may have moved to where the data is now.

    Raises:
        InputError: it is a task of one's own, whose definition is in neither place.
    """
    place = Path(reference)
    if place.suffix != ".toml" or place.is_file():
        return reference
    moved = None if data is None else data / place.name
    if moved is None or not moved.is_file():
        where = reference if moved is None else f"{reference}, nor in {data}"
        problem = f"is of a task whose definition is no longer there ({where})."
        raise InputError(str(folder), problem, f"Give the folder that holds {place.name} now (--data).")
    return moved


def with_records(folder: Path, config: dict[str, Any], loaded: LoadedTask) -> Run:
    """The run of a folder whose settings and items are known; only its records are read.

    Raises:
        InputError: see `read_run`.
    """
    items = loaded.items[: config.get("limit")]
    ids = {item.id for item in items}
    records = {str(method): _read_records(folder, str(method), ids) for method in config["methods"]}
    return Run(folder, config, loaded.task, items, records)


def _read_records(folder: Path, method: str, ids: set[Identifier]) -> dict[Identifier, ItemRecord]:
    """A method's records under their identifiers; none where a run was stopped before the method began."""
    files = RunFolder(folder)
    path = files.records_path(method)
    found: dict[Identifier, ItemRecord] = {}
    for record in files.records(method) if path.exists() else ():
        if record.id in found or record.id not in ids:
            problem = "twice" if record.id in found else "though the run has no such item"
            raise InputError(str(path), f"holds item {record.id!r} {problem}.", "Make the run anew.")
        found[record.id] = record
    return found


def _digest(objects: Any) -> str:
    digest = hashlib.sha256()
    for one in objects:
        digest.update(json.dumps(one, sort_keys=True).encode() + b"\n")
    return digest.hexdigest()
