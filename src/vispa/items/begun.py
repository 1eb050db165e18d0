"""Whether an output of a batch was begun with the same items and settings, so that it may be gone on with."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import fields
from itertools import islice
from pathlib import Path
from typing import Any

from vispa.errors import InputError
from vispa.files.destination import Destination, differing_settings
from vispa.files.lines import WholeLines
from vispa.files.reading import read_object
from vispa.items.item import Item
from vispa.items.loaded import with_what_was_left_open
from vispa.request import Sampling

# Options that stand in the settings as they were given; in the place of others stands what a model makes of them.
_AS_GIVEN = (
    "k", "threshold", "diversity", "values", "selector", "language", "polarity", "aggregator", "weights", "mode",
    "toward", "options", "passages",
)  # fmt: skip


def settings_path(output: Path) -> Path:
    """The file beside the output that says what the output was made with."""
    return output.with_name(output.name + ".settings.json")


def items_digest(items: Sequence[Item]) -> str:
    """SHA-256 of all items, as they were read for their mode."""
    digest = hashlib.sha256()
    for item in items:
        digest.update(item.model_dump_json().encode())
    return digest.hexdigest()


def options_as_json(options: Mapping[str, Any]) -> dict[str, Any]:
    """Options of a command as JSON can say them."""
    as_json = {Path: str, tuple: list}
    return {
        name: next((turn(given) for kind, turn in as_json.items() if isinstance(given, kind)), given)
        for name, given in options.items()
    }


def check_begun(output: Path, settings: Mapping[str, Any]) -> None:
    """Refuse an output whose answers were made with other settings, or nobody knows with what.

    Args:
        output: the JSON Lines file, which need not be there.
        settings: whatever determines the answers.

    Raises:
        InputError: names the settings that differ, or the file of settings that is missing or damaged.
    """
    earlier = _earlier_settings(output)
    if earlier is not None:
        told = with_what_was_left_open(earlier, settings)
        _check_same(output, differing_settings(told, settings), told, settings)


def check_begun_so_far(output: Path, digest: str, options: Mapping[str, Any], sampling: Sampling) -> None:
    """As `check_begun`, of what is known before any model is loaded.

    Args:
        output: see `check_begun`.
        digest: of the items to be answered, see `items_digest`.
        options: of the command, by name.
        sampling: of the comments.

    Raises:
        InputError: as `check_begun`.
    """
    earlier = _earlier_settings(output)
    if earlier is None:
        return
    given = options_as_json({name: options[name] for name in _AS_GIVEN if name in options})
    # A greedy text's settings have neither top_p nor seed.
    none = {field.name: None for field in fields(Sampling)}
    settings = {**given, **none, **sampling.effective(), "items": digest}
    differing = differing_settings(earlier, settings, leaving_out=earlier.keys() - settings.keys())
    _check_same(output, differing, earlier, settings)


def is_answer(line: bytes) -> bool:
    """Whether a line says what became of its item."""
    try:
        record = json.loads(line)
    except (ValueError, RecursionError):
        return False
    return isinstance(record, dict) and (record.get("error") is not None or isinstance(record.get("values"), list))


def _check_same(
    output: Path, differing: Sequence[str], earlier: Mapping[str, Any], settings: Mapping[str, Any]
) -> None:
    """Refuse other settings; items that were read for another mode say nothing of their own."""
    told = [name for name in differing if name != "items" or "mode" not in differing]
    Destination(output, "output").check_same_settings(told, earlier, settings)


def _earlier_settings(output: Path) -> dict[str, Any] | None:
    """What the output was begun with; None where nothing was begun yet.

    Raises:
        InputError: there are answers, but no settings that can be read.
    """
    if not output.exists():
        return None
    path, holds_answers = settings_path(output), output.stat().st_size > 0
    advice = f"Restore it, or choose another output; --overwrite deletes the answers in {output.name}."
    if not path.exists():
        if holds_answers and any(map(is_answer, islice(WholeLines(output), 1))):
            raise InputError(str(path), "is missing, which says how the answers beside it were made.", advice)
        Destination(output, "output").check_begun_here(None, holds_answers=holds_answers)
        return None
    try:
        return read_object(path, "settings")
    except InputError as error:
        if not holds_answers:
            return None
        raise InputError(str(path), f"is damaged ({error.problem.removeprefix('is ').rstrip('.')}).", advice) from error
