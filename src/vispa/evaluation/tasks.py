"""Tasks: which data sets there are, where they come from, and their items.

What the published files hold that one might not expect; all of it is kept as published, so that
figures can be compared:

- Identifiers are unique within a file but not across files: the VITAL and the Modular Pluralism
  splits share questions under the same identifiers. The unique key of an item is therefore its
  task's name with its `id`; an `id` that occurs twice within a file is refused.
- 148 OpinionQA items (132 VITAL, 16 Modular Pluralism) have a single option. Their distance is 0
  and their agreement 1 under every method.
- OpinionQA options were cut at commas and a few came out as fragments, mostly with a share of 0;
  in 14 items of Modular Pluralism two of these have the same text. Shares belong to positions,
  so nothing is merged; an answer that repeats such a text cannot be read, only its letter can.
- In both MoralChoice files the first option is the gold's likeliest in every item (all of it, or
  a tie). A method that always says A agrees in all of them: read the distance instead.
- Two items of modplural/steerable-opinionqa (18195 and 21899) are equal but for the identifier.
- Three options of modplural/globalopinionqa end in a space that the prompt lacks; texts of
  options are stripped.
- Distributions have as many shares as there are options and sum to 1 within 1e-9; a user's own
  may be rounded to two digits. They stay as they are in the file: metrics divide by the sum.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, Field, model_validator

from vispa.errors import InputError
from vispa.evaluation.metrics import METRICS
from vispa.files.reading import read_toml
from vispa.files.validation import validated
from vispa.items.item import Item
from vispa.items.reading import ITEM_ADVICE, Layout, read_items
from vispa.records import Record
from vispa.request import Mode, check_text

# How far a distribution's sum may be from 1: published shares are rounded to two digits.
_ROUNDING = 0.011
_BUILT_IN = Path(__file__).parent / "tasks.toml"
# Where tasks of the package's own have their files.
_SHIPPED = Path(__file__).parent
_ITEM_FIELDS = tuple(name for name in Item.model_fields if name != "mode")


def _check_metric(name: str) -> str:
    if name not in METRICS:
        raise ValueError(f"is {name!r}, which is no metric; choose {', '.join(METRICS)}")
    return name


#: Name of one of `METRICS`.
MetricName = Annotated[str, AfterValidator(_check_metric)]


class Task(Record):
    """A data set with the mode that answers it and the metric that judges the answers.

    A task of your own is a TOML file with these keys beside a JSON or JSON Lines file:

        name = "clinic/visits"
        file = "visits.jsonl"
        mode = "steerable"
        metric = "agreement"
        source = "our ethics board, 2026"
        licence = "CC-BY-4.0"
        options = ["Support", "Oppose", "Either"]
        [fields]
        text = "case"
        label = "verdict"

    Attributes:
        name: unique name.
        file: path of the items, from the data folder or, for a task of your own, its TOML file; where the package has
            it, from this module's folder.
        mode: which mode answers.
        metric: which metric judges; one of `vispa.evaluation.metrics.METRICS`.
        source: where to get the file.
        licence: under which the file may be used.
        description: what is asked.
        paper: where the data set is described.
        items: how many items the published file holds.
        options: answer options of items that list none themselves.
        groups: names of attribute groups, found as parts of an item's attribute; without any,
            every attribute is a group.
        budget: how many sentences of an answer count where all are to have the same length; by default the
            metric's own number, where it has one.
        fields: name of an item's field → its name in the file, where the two differ.
    """

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]*(/[A-Za-z0-9][A-Za-z0-9_-]*)*$")
    file: str = Field(min_length=1)
    mode: Mode
    metric: MetricName
    source: str = Field(min_length=1)
    licence: str = Field(min_length=1)
    description: str = ""
    paper: str = ""
    items: int | None = Field(default=None, ge=1)
    options: tuple[str, ...] = Field(default=(), max_length=26)
    groups: tuple[str, ...] = ()
    budget: int | None = Field(default=None, ge=1)
    fields: dict[str, str] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _check_mode(self) -> Task:
        if self.mode not in METRICS[self.metric].modes:
            raise ValueError(f"The metric {self.metric} does not judge {self.mode} answers")
        if self.budget is not None and METRICS[self.metric].budget is None:
            raise ValueError(f"The metric {self.metric} has no budget of sentences")
        return self


class TaskStatus(Record):
    """Whether a task can be run.

    Attributes:
        task: the task.
        path: its file, if it is there.
        items: number of items, if the file is there and sound.
        problem: why the task cannot be run and what to do; None if it can.
    """

    task: Task
    path: str | None
    items: int | None
    problem: str | None

    @property
    def is_published(self) -> bool:
        """Whether the file holds as many items as the published one."""
        return self.items is not None and self.items == self.task.items


@cache
def built_in_tasks() -> dict[str, Task]:
    """The published tasks, then those whose items ship with the package, by name."""
    return {name: Task(name=name, **entry) for name, entry in read_toml(_BUILT_IN).items()}


def find_task(name: str | Path) -> Task:
    """A built-in task by its name, or a task of your own by the path of its TOML file.

    Raises:
        InputError: no such task, or a TOML file that does not describe one.
    """
    if str(name).endswith(".toml"):
        return _read_task(Path(name))
    task = built_in_tasks().get(str(name))
    if task is None:
        near = difflib.get_close_matches(str(name), built_in_tasks(), n=1)
        advice = f"Did you mean {near[0]}?" if near else f"Choose {', '.join(built_in_tasks())}, or name a TOML file."
        raise InputError("task", f"{name} is not known.", advice)
    return task


@dataclass(frozen=True)
class LoadedTask:
    """A task with its items.

    Attributes:
        task: the task.
        reference: by what `find_task` finds it again, wherever it is called from.
        folder: where the data is; None where it ships with the package.
        items: all of them, in the file's order.
    """

    task: Task
    reference: str
    folder: Path | None
    items: tuple[Item, ...]


def is_shipped(task: Task) -> bool:
    """Whether a task's items come with the package, so that it needs no folder of data."""
    return task == built_in_tasks().get(task.name) and (_SHIPPED / task.file).is_file()


def load_task(name: str | Path, folder: Path | None = None) -> LoadedTask:
    """A task and all its items, each checked.

    Args:
        name: see `find_task`.
        folder: where the data is; a task of your own has it beside its TOML file by default. Where the items ship with
            the package, it is not looked at.

    Raises:
        InputError: unknown task; missing file, with where to get it; malformed item, with file,
            item and field.
    """
    task = find_task(name)
    if is_shipped(task):
        return LoadedTask(task, str(name), None, tuple(_load(task, _SHIPPED)))
    if folder is None:
        if not str(name).endswith(".toml"):
            raise InputError("folder", f"is needed for {name}.", f"Name the folder that holds {task.file}.")
        folder = Path(name).parent
    reference = str(Path(name).resolve()) if str(name).endswith(".toml") else str(name)
    return LoadedTask(task, reference, folder, tuple(_load(task, folder)))


def available(folder: Path | None, names: Sequence[str | Path] = ()) -> list[TaskStatus]:
    """What of the tasks is in a folder or in the package; every file that is there is read and checked.

    Args:
        folder: where the data is; None for what ships with the package, or lies beside a TOML file.
        names: tasks to look for; the built-in ones by default.
    """
    found = []
    for name in names or built_in_tasks():
        task = find_task(name)
        beside = Path(name).parent if str(name).endswith(".toml") else None
        found.append(_status(task, _SHIPPED if is_shipped(task) else folder or beside))
    return found


def _status(task: Task, folder: Path | None) -> TaskStatus:
    if folder is None:
        problem = str(InputError(task.name, "needs a folder of data.", f"Get {task.file} from {task.source}."))
        return TaskStatus(task=task, path=None, items=None, problem=problem)
    path = _locate(task, folder)
    try:
        return TaskStatus(task=task, path=str(path), items=len(_load(task, folder)), problem=None)
    except InputError as error:
        return TaskStatus(task=task, path=None if path is None else str(path), items=None, problem=str(error))


def _load(task: Task, folder: Path) -> list[Item]:
    path = _locate(task, folder)
    if path is None:
        raise InputError(
            str(folder / task.file),
            f"is missing; {task.name} needs it.",
            f"Get it from {task.source} and put it there.",
        )
    names = {field: (task.fields.get(field, field),) for field in _ITEM_FIELDS}
    return read_items(
        path, task.mode, Layout(names, task.options), lambda item, place: _check_complete(item, task, place)
    )


def _locate(task: Task, folder: Path) -> Path | None:
    """The task's file: under its path, or by its name in the folder itself."""
    candidates = (folder / task.file, folder / Path(task.file).name)
    return next((path for path in candidates if path.is_file()), None)


def _check_complete(item: Item, task: Task, place: str) -> None:
    """Refuse an item that lacks what its mode or metric needs, or has a gold that is no distribution."""
    for name in ("text", "prompt"):
        check_text(getattr(item, name), f"{place} field {task.fields.get(name, name)}")
    _check_gold(item, f"{place} field {task.fields.get('gold_distribution', 'gold_distribution')}")
    metric = METRICS[task.metric]
    missing = [name for name in metric.needs if getattr(item, name) in (None, ())]
    if missing:
        field = task.fields.get(missing[0], missing[0])
        raise InputError(place, f"has no field {field!r}.", f"The metric {task.metric} needs it.")
    if task.mode == "steerable" and not item.vrd and item.attribute is None:
        fields = [task.fields.get(name, name) for name in ("vrd", "attribute")]
        raise InputError(place, f"has neither {fields[0]!r} nor {fields[1]!r}.", "Say what to steer toward.")
    problem = metric.problem(item)
    if problem is not None:
        raise InputError(place, *problem)


def _check_gold(item: Item, place: str) -> None:
    shares, options = item.gold_distribution, len(item.options)
    if shares is None:
        return
    if len(shares) != options:
        raise InputError(place, f"has {len(shares)} shares, options {options}.", ITEM_ADVICE)
    if abs((total := math.fsum(shares)) - 1) > _ROUNDING:
        raise InputError(place, f"sums to {total:.4g}, not 1.", ITEM_ADVICE)


def _read_task(path: Path) -> Task:
    task = validated(Task, read_toml(path), str(path))
    unknown = sorted(set(task.fields) - set(_ITEM_FIELDS))
    if unknown:
        raise InputError(
            f"{path} field fields", f"names {unknown[0]!r}, which no item has.", f"Known: {', '.join(_ITEM_FIELDS)}."
        )
    return task
