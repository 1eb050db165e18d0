"""Reading a run's scores back, if they are whole and of what the run holds now."""

from __future__ import annotations

import hashlib

from pydantic import Field, StrictInt, StrictStr

from vispa.errors import InputError
from vispa.evaluation.runs.folder import RunFolder
from vispa.evaluation.runs.run import Run
from vispa.evaluation.scoring import ITEM_SCORES_FILE, SCORES_FILE, RunScores
from vispa.files.append_log import Identifier
from vispa.files.door import read_bytes
from vispa.files.reading import json_entries, read_object
from vispa.files.validation import FileModel, validated

#: Method → figure → identifier → score.
ItemScores = dict[str, dict[str, dict[Identifier, float]]]

_ANEW = "Score the run anew."


class _Line(FileModel):
    """An item's scores: one line of the file of item scores."""

    id: StrictStr | StrictInt
    scores: dict[str, dict[str, float]] = Field(description="method → figure → score")


def load_scores(run: Run) -> RunScores:
    """The scores of a run, if they are of its present settings, items and records.

    Raises:
        InputError: there are none, they are malformed, or older than what the run holds; says which part.
    """
    path = run.folder / SCORES_FILE
    if not path.is_file():
        raise InputError(str(path), "is missing.", "Score the run first.")
    scores = validated(RunScores, read_object(path, "run", _ANEW), str(path), advice=_ANEW)
    if scores.items_digest != run.items_digest:
        problem = f"is of other items ({scores.items:,}) than the run's data has now ({len(run.items):,})."
        raise InputError(str(path), problem, _ANEW)
    _check_records(run, scores)
    if scores.config_digest != run.config_digest:
        settings = str(run.folder / "config.json")
        raise InputError(settings, f"has other settings than when {path.name} was written.", _ANEW)
    return scores


def load_item_scores(run: Run, scores: RunScores) -> ItemScores:
    """The scores of each item, if they are those that the run's figures are made of.

    Args:
        run: that was scored.
        scores: its figures.

    Raises:
        InputError: missing, malformed, of other items or methods, or not those of the figures.
    """
    path = run.folder / ITEM_SCORES_FILE
    found: ItemScores = {method: {} for method in scores.methods}
    lines: set[tuple[bool, Identifier]] = set()
    for _, place, entry in json_entries(path, "run"):
        line = validated(_Line, entry, place, advice=_ANEW)
        key = (isinstance(line.id, str), line.id)
        if key in lines:
            raise InputError(place, f"holds item {line.id!r} a second time.", _ANEW)
        lines.add(key)
        for method, figures in line.scores.items():
            for figure, score in figures.items():
                found.setdefault(method, {}).setdefault(figure, {})[line.id] = score
    missing = [identifier for identifier in run.ids if (isinstance(identifier, str), identifier) not in lines]
    if missing or len(lines) != len(run.ids):
        problem = f"lacks item {missing[0]!r}." if missing else f"holds {len(lines):,} items, the run {len(run.ids):,}."
        raise InputError(str(path), problem, _ANEW)
    if set(found) != set(scores.methods):
        raise InputError(str(path), f"is of the methods {', '.join(found)}.", _ANEW)
    if hashlib.sha256(read_bytes(path, "run")).hexdigest() != scores.item_scores_digest:
        raise InputError(str(path), f"holds other scores than {SCORES_FILE} was made of.", _ANEW)
    return found


def _check_records(run: Run, scores: RunScores) -> None:
    """Refuse scores of other records than there are, by the file that is at fault."""
    for method in run.records:
        path = RunFolder(run.folder).records_path(method)
        wanted = scores.records_digests.get(method)
        if wanted is None:
            raise InputError(str(run.folder / SCORES_FILE), f"has no figures of {method}.", _ANEW)
        if wanted != run.records_digest(method):
            count = len(run.records[method])
            problem = f"holds other records ({count:,} of {len(run.items):,} items) than were scored."
            raise InputError(str(path), problem if path.is_file() else "is missing, though it was scored.", _ANEW)
