"""Situations of the suites of our own in several languages, said the same way in each."""

from __future__ import annotations

from pathlib import Path

from vispa.files.tables import read_table

TRANSLATIONS = Path(__file__).parent / "languages" / "situations.csv"


def translated_situations(path: Path = TRANSLATIONS) -> dict[str, dict[str, str]]:
    """60 situations in English and six other languages.

    Args:
        path: table of id, language and text.

    Returns:
        Language → id of the situation, such as `law-s004` → text; the same ids in the same order for each.

    Raises:
        InputError: the table cannot be read.
    """
    found: dict[str, dict[str, str]] = {}
    for row in read_table(path, ("id", "language", "text")).rows:
        found.setdefault(row.fields["language"], {})[row.fields["id"]] = row.fields["text"]
    return found
