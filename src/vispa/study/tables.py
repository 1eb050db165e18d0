"""Keeping a study's numbers: one CSV file a part, and one JSON file of everything."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from vispa.errors import InputError
from vispa.files.door import read_bytes
from vispa.files.writing import replacing
from vispa.study.dose import MEASURES, DoseResponse
from vispa.study.expressed import MEASURES as OF_COMMENTS
from vispa.study.expressed import Expressed
from vispa.study.inspection import Inspection
from vispa.study.leakage import Leakage
from vispa.study.quality import Quality
from vispa.study.similarity import Similarity

#: File of everything that was found.
INSPECTION_FILE = "inspection.json"

Cells = Iterable[Sequence[Any]]


def write_tables(inspection: Inspection, folder: Path) -> list[Path]:
    """Write `inspection.json` and a CSV file for every part; each whole or not at all.

    Numbers have six significant digits; what is not finite is null in JSON and empty in CSV.

    Args:
        inspection: what was found.
        folder: made if it is not there.

    Returns:
        The files written.

    Raises:
        InputError: the folder cannot be written to.
    """
    # By this file the folder is known as a study's; it comes first, whenever this stops.
    whole = folder / INSPECTION_FILE
    with replacing(whole) as temporary:
        text = json.dumps(everything(inspection), ensure_ascii=False, allow_nan=False, indent=1)
        temporary.write_text(text + "\n", encoding="utf-8")
    written = []
    for part, cells in _tables(inspection):
        written.append(folder / f"{part}.csv")
        _write_csv(written[-1], cells)
    return [*written, whole]


def check_folder(folder: Path) -> None:
    """Refuse a folder in which something else than an earlier study is.

    Raises:
        InputError: there are files, but no study's.
    """
    found = sorted(path.name for path in folder.glob("*") if not path.name.startswith("."))
    if not found:
        return
    try:
        # Generated texts may hold what a file from a user may not, such as a NUL character.
        earlier = json.loads(read_bytes(folder / INSPECTION_FILE, "run"))
        is_study = {"model_fingerprint", "taxonomy_fingerprint"} <= set(earlier)
    except (InputError, ValueError, TypeError, RecursionError):
        is_study = False
    if not is_study:
        raise InputError(str(folder), f"holds {found[0]}, which no study wrote.", "Choose another folder.")


def everything(inspection: Inspection) -> dict[str, Any]:
    """Everything that was found, as JSON types."""
    found: dict[str, Any] = {
        **asdict(inspection.info),
        "recipe": asdict(inspection.recipe),
        "prompts": inspection.prompts,
        "left_out_blocks": inspection.left_out,
    }
    for part in (inspection.quality, inspection.similarity, inspection.leakage):
        if part is not None:
            found[type(part).__name__.lower()] = asdict(part)
    if inspection.dose is not None:
        found["dose"] = _dose_summary(inspection.dose) | {"rows": [asdict(row) for row in inspection.dose.rows]}
    if inspection.expression is not None:
        found["expression"] = expression_summary(inspection.expression) | {
            "change": inspection.expression.steered.change(inspection.expression.plain),
            "rows": list(inspection.expression.comments()),
        }
    plain: dict[str, Any] = as_json_types(found)
    return plain


def _dose_summary(dose: DoseResponse) -> dict[str, Any]:
    return {
        "block": dose.block,
        "values": dose.values,
        # The unsteered model comes first, under no magnitude.
        "magnitudes": [None, *dose.magnitudes],
        "overall": {measure: dose.overall(measure) for measure in MEASURES},
        "by_value": {measure: dose.by_value(measure) for measure in MEASURES},
    }


def expression_summary(found: Expressed) -> dict[str, Any]:
    """What was found about comments, without the comments."""
    return {
        "judge": {"learnt_from": found.judge.learnt_from, "accuracy": dict(found.judge.accuracy)},
        "situations": found.situations,
        "overall": found.overall(),
        "by_value": found.by_value(),
    }


def _tables(inspection: Inspection) -> Iterator[tuple[str, Cells]]:
    if inspection.quality is not None:
        yield "quality", _quality_cells(inspection.quality)
    if inspection.similarity is not None:
        yield "similarity", _similarity_cells(inspection.similarity)
    if inspection.dose is not None:
        yield "dose", _dose_cells(inspection.dose)
    if inspection.leakage is not None:
        yield "leakage", _leakage_cells(inspection.leakage)
    if inspection.expression is not None:
        yield "expression", _expression_cells(inspection.expression)


def _quality_cells(table: Quality) -> Cells:
    yield ("value", "block", "accuracy", "separation", "relative_norm")
    for place, value in enumerate(table.values):
        for block in range(table.accuracy.shape[1]):
            numbers = (part[place, block] for part in (table.accuracy, table.separation, table.relative_norm))
            yield (value, block, *numbers)


def _similarity_cells(table: Similarity) -> Cells:
    """The matrix, similar values side by side."""
    order = list(table.order)
    yield ("value", *(table.values[place] for place in order))
    for place in order:
        yield (table.values[place], *table.cosine[place, order])


def _dose_cells(table: DoseResponse) -> Cells:
    yield ("magnitude", "value", "prompt", "probability", "perplexity", "repetition", "text")
    for row in table.rows:
        magnitude = "unsteered" if row.magnitude is None else row.magnitude
        yield (magnitude, row.value, row.prompt, row.probability, row.perplexity, row.repetition, row.text)


def _leakage_cells(table: Leakage) -> Cells:
    yield ("steered_toward", "read", "unsteered", "change", "logit_change", "probe_accuracy")
    for row, steered in enumerate(table.values):
        for column, read in enumerate(table.values):
            changes = (table.change[row, column], table.logit_change[row, column])
            yield (steered, read, table.unsteered[column], *changes, table.accuracy[column])


def _expression_cells(table: Expressed) -> Cells:
    columns = ("steering", "situation", "value", *OF_COMMENTS, "text")
    yield columns
    for row in table.comments():
        yield [row[column] for column in columns]


def _write_csv(path: Path, cells: Cells) -> None:
    with replacing(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        for row in cells:
            writer.writerow(["" if cell is None else cell for cell in map(as_json_types, row)])


def as_json_types(data: Any) -> Any:
    """The same in JSON types: numbers of six significant digits, None for what is not finite."""
    if isinstance(data, dict):
        return {str(key): as_json_types(entry) for key, entry in data.items()}
    if isinstance(data, list | tuple):
        return [as_json_types(entry) for entry in data]
    if isinstance(data, np.ndarray):
        return as_json_types(data.tolist())
    if isinstance(data, float):  # numpy's float64 is one
        return float(f"{data:.6g}") if math.isfinite(data) else None
    return data
