"""`vispa data`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vispa.cli.console import print_json, print_line
from vispa.cli.options import AsJson
from vispa.errors import InputError

if TYPE_CHECKING:
    from vispa.evaluation.tasks import TaskStatus


def data(
    folder: Annotated[
        Path | None,
        typer.Argument(metavar="[DIR]", help="Folder of the data; by default what ships with the package."),
    ] = None,
    task: Annotated[
        list[str] | None, typer.Option("--task", help="Look for this task; repeatable. By default all built-in ones.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Say which tasks' files are in a folder or ship with the package, what is missing, and where to get it.

    Example: `vispa data data`
    """
    if folder is not None and not folder.is_dir():
        raise InputError(str(folder), "is not a folder.", "Name the folder that holds, or is to hold, the data.")
    from vispa.evaluation.tasks import available

    found = available(folder, task or ())
    if as_json:
        print_json([_status(one) for one in found])
        return
    width = max(len(one.task.name) for one in found)
    for one in found:
        print_line(f"{one.task.name:<{width}}  {_state(one, folder)}")
        print_line(f"{'':<{width}}  {one.task.description or one.task.mode}; licence: {one.task.licence}")
        if one.problem is not None:
            print_line(f"{'':<{width}}  {_advice(one, folder)}")
    there = sum(one.problem is None for one in found)
    print_line()
    print_line(f"{there} of {len(found)} tasks can be run.")


def _status(status: TaskStatus) -> dict[str, Any]:
    task = status.task
    return {
        "task": task.name,
        "mode": task.mode,
        "file": task.file,
        "path": status.path,
        "items": status.items,
        "published_items": task.items,
        "is_published": status.is_published,
        "problem": status.problem,
        "source": task.source,
        "licence": task.licence,
        "paper": task.paper,
    }


def _state(status: TaskStatus, folder: Path | None) -> str:
    if status.problem is not None and status.path is None:
        return "needs a folder of data" if folder is None else "missing"
    if status.problem is not None:
        return "cannot be used"
    if status.task.items is None or status.is_published:
        return f"{status.items:,} items"
    return f"{status.items:,} items, the published file has {status.task.items:,}"


def _advice(status: TaskStatus, folder: Path | None) -> str:
    """What to do about a task that cannot be run."""
    if status.path is not None:
        return str(status.problem)
    file = status.task.file
    then = f"name the folder that holds {file}" if folder is None else f"put it there as {folder / file}"
    return f"Get it from {status.task.source} and {then}."
