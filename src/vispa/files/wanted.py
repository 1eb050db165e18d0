"""What a value should be, in this package's words, for each kind of fault that pydantic finds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

# Each goes on "It should be "; in braces is what the model asks for.
_WORDS = {
    "string_type": "a text",
    "string_unicode": "a text without half of a surrogate pair",
    "string_too_short": "a text of at least {min_length} characters",
    "string_too_long": "a text of at most {max_length} characters",
    "string_pattern_mismatch": "a text of the form {pattern}",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "int_type": "a whole number",
    "int_parsing": "a whole number",
    "int_parsing_size": "a whole number of fewer digits",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "float_parsing": "a number",
    "finite_number": "a finite number",
    "greater_than": "above {gt}",
    "greater_than_equal": "at least {ge}",
    "less_than": "below {lt}",
    "less_than_equal": "at most {le}",
    "literal_error": "{expected}",
    "none_required": "null",
    "list_type": "a list",
    "tuple_type": "a list",
    "iterable_type": "a list",
    "too_short": "{what} of at least {min_length} entries",
    "too_long": "{what} of at most {max_length} entries",
    "dict_type": "an object",
    "model_type": "an object",
    "model_attributes_type": "an object",
    "dataclass_type": "an object",
    "dataclass_exact_type": "an object",
    "mapping_type": "an object",
    "invalid_key": "an object whose names are texts",
    "json_invalid": "valid JSON",
    "json_type": "JSON",
    # Fields of any JSON: what is none of its kinds.
    "invalid-json-value": "what JSON can say",
    "recursion_loop": "something that does not hold itself",
    "recursion_depth_exceeded": "less deep",
    "is_instance_of": "of the kind {class}",
}
_SAYING = {"True": "true", "False": "false", "None": "null"}
#: Kinds of faults of what holds too little.
TOO_SHORT = ("string_too_short", "too_short")


def wanted(fault: Mapping[str, Any]) -> str | None:
    """What a value should be, as it follows "It should be"; None where that takes more than its kind to say.

    Args:
        fault: of pydantic, with `type` and, where it has one, `ctx`.
    """
    kind, given = fault["type"], fault.get("ctx", {})
    if kind == "literal_error":
        expected = str(given["expected"])
        return _SAYING.get(expected, expected)
    if given.get("max_length") == 0:
        return "empty"
    if kind not in _WORDS:
        return None
    what = "an object" if given.get("field_type") == "Dictionary" else "a list"
    words = _WORDS[kind].format(what=what, **{name: _plain(one) for name, one in given.items()})
    if 1 in (given.get("min_length"), given.get("max_length")):
        words = words.replace("characters", "character").replace("entries", "entry")
    return words


def _plain(one: Any) -> Any:
    """A bound as somebody would write it: 1 for 1.0."""
    return int(one) if isinstance(one, float) and one.is_integer() else one
