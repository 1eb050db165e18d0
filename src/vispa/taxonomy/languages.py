"""What values are called in other languages than English: files `values.LANGUAGE.toml` beside `values.toml`."""

from __future__ import annotations

import re
from collections.abc import Collection
from pathlib import Path

from vispa.errors import InputError, TaxonomyError
from vispa.taxonomy.value import Names

#: The language of `values.toml`, of pairs, and of what models are asked.
ENGLISH = "en"

_CODE = re.compile(r"[a-z]{2,3}")


def built_in_languages() -> tuple[str, ...]:
    """Languages in which the built-in values have names for readers, English first."""
    return (ENGLISH, *_languages_of(Path(__file__).parent))


def read_names(folder: Path, language: str | None, slugs: Collection[str]) -> dict[str, Names]:
    """What the values of a taxonomy are called in a language.

    Args:
        folder: of the taxonomy.
        language: such as `de`; nothing is read for English, or where there is none.
        slugs: of the taxonomy.

    Raises:
        InputError: no code of a language, or the folder has no file for it.
        TaxonomyError: the file cannot be used, lacks a value, or has one that the taxonomy lacks.
    """
    if language is None or language == ENGLISH:
        return {}
    path = folder / f"values.{language}.toml"
    if not _CODE.fullmatch(language) or not path.is_file():
        known = ", ".join((ENGLISH, *_languages_of(folder)))
        raise InputError("language", f"{language!r} is none that the taxonomy has names in.", f"Choose of {known}.")
    from vispa.taxonomy.values_file import NameFields, checked_fields, read_tables

    table = read_tables(path)
    for slug in slugs:
        if slug not in table:
            raise TaxonomyError(str(path), f"lacks {slug}.", f"Add a table [{slug}] with label and definition.")
    for slug in table:
        if slug not in slugs:
            raise TaxonomyError(f"{path} [{slug}]", "is no value of values.toml.", "Remove it, or mend its name.")
    return {slug: Names(**checked_fields(NameFields, path, slug, table[slug]).model_dump()) for slug in slugs}


def _languages_of(folder: Path) -> tuple[str, ...]:
    found = (path.name.split(".")[1] for path in sorted(folder.glob("values.*.toml")))
    return tuple(code for code in found if _CODE.fullmatch(code))
