"""Prompt templates: texts with placeholders in braces, which are all that is read in them."""

from __future__ import annotations

import re

from vispa.errors import InputError

# Doubled braces are looked for first, as in Python's own templates: `{{{text}}}` is `{…}` around the text.
_TOKEN = re.compile(r"\{\{|\}\}|\{([a-z_]+)\}|[{}]")


def filled(template: str, /, **fields: object) -> str:
    """A template with texts in place of its placeholders; nothing in the texts is read as a template.

    Args:
        template: as `placeholders` takes it: names in braces, and doubled braces for single ones.
        fields: name → what stands in its place.

    Example:
        >>> filled("Situation: {text} {{as it is}}", text="{options}")
        'Situation: {options} {as it is}'
    """

    def written(found: re.Match[str]) -> str:
        return str(fields[found[1]]) if found[1] else found[0][0]

    return _TOKEN.sub(written, template)


def placeholders(template: str, place: str) -> frozenset[str]:
    """Names of a template's placeholders.

    Args:
        template: texts with names in braces, without conversion, format or attribute.
        place: what it is called in messages.

    Raises:
        InputError: a brace that is neither around a name nor doubled.
    """
    found = set()
    for token in _TOKEN.finditer(template):
        if token[1]:
            found.add(token[1])
        elif len(token[0]) == 1:
            near = template[max(0, token.start() - 10) : token.start() + 20]
            raise InputError(
                place,
                f"has a brace that is not around a plain name: {near!r}.",
                "Write {name} alone, and double a brace that is meant as text.",
            )
    return frozenset(found)
