"""Faults that pydantic finds are told in this package's words, whoever is told: files, clients, the command line."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterator
from typing import Annotated, Any, Literal

import pytest
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, Field, Json, JsonValue, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass

import vispa
from vispa.cli.defaults import _CONFIGURABLE
from vispa.cli.defaults_model import defaults_file
from vispa.cli.main import _run
from vispa.files import wanted as words_of
from vispa.files.validation import FileModel, first_fault
from vispa.serving.faults import _invalid
from vispa.serving.schemas import BatchBody, Body, ChatBody, CompletionBody, RespondBody, SelectBody, TokensBody
from vispa.steering.recipe import recipe_model


class Visit(FileModel):
    days: int = 1


@dataclass
class Trip:
    days: int = 1


HELD: list[Any] = []
HELD.append(HELD)
#: What is asked for, what is given, what the package says of it; each by the first kind of fault that it raises.
RAISED: list[tuple[Any, Any, str]] = [
    (str, 3, "is 3. It should be a text."),
    (Annotated[str, Field(max_length=9)], "\ud800",
     "is '\\ud800'. It should be a text without half of a surrogate pair."),
    (Annotated[str, Field(min_length=1)], "", "is empty. It should be a text of at least 1 character."),
    (Annotated[str, Field(min_length=2)], "a", "is 'a'. It should be a text of at least 2 characters."),
    (Annotated[str, Field(max_length=2)], "abc", "is 'abc'. It should be a text of at most 2 characters."),
    (Annotated[str, Field(pattern="^[a-z]{2}$")], "a", "is 'a'. It should be a text of the form ^[a-z]{2}$."),
    (bool, [], "is []. It should be true or false."),
    (bool, "maybe", "is 'maybe'. It should be true or false."),
    (int, None, "is None. It should be a whole number."),
    (int, "many", "is 'many'. It should be a whole number."),
    (int, 1.5, "is 1.5. It should be a whole number."),
    (int, "9" * 5000, f"is '{'9' * 58}…. It should be a whole number of fewer digits."),
    (float, [], "is []. It should be a number."),
    (float, "much", "is 'much'. It should be a number."),
    (Annotated[float, Field(allow_inf_nan=False)], float("nan"), "is nan. It should be a finite number."),
    (Annotated[float, Field(gt=0)], 0, "is 0. It should be above 0."),
    (Annotated[float, Field(ge=0.5)], 0.1, "is 0.1. It should be at least 0.5."),
    (Annotated[float, Field(lt=1)], 1, "is 1. It should be below 1."),
    (Annotated[float, Field(le=1.0)], 2, "is 2. It should be at most 1."),
    (Annotated[int, Field(le=2**63 - 1)], 2**63, f"is {2**63}. It should be at most {2**63 - 1}."),
    (Literal["a", "b"], "c", "is 'c'. It should be 'a' or 'b'."),
    (Literal[False], True, "is True. It should be false."),
    (None, 1, "is 1. It should be null."),
    (list[int], "1", "is '1'. It should be a list."),
    (tuple[int, ...], "1", "is '1'. It should be a list."),
    (Annotated[list[int], Field(min_length=1)], [], "is empty. It should be a list of at least 1 entry."),
    (tuple[int, int], [1], "is missing. Add it."),
    (Annotated[list[int], Field(max_length=1)], [1, 2], "is [1, 2]. It should be a list of at most 1 entry."),
    (Annotated[list[int], Field(max_length=0)], [1], "is [1]. It should be empty."),
    (Annotated[dict[str, int], Field(max_length=2)], dict.fromkeys("abc", 1), "be an object of at most 2 entries."),
    (dict[str, int], 1, "is 1. It should be an object."),
    (Visit, 1, "is 1. It should be an object."),
    (Trip, 1, "is 1. It should be an object."),
    (JsonValue, b"", "It should be what JSON can say."),
    (Json[int], "{", "It should be valid JSON."),
    (Json[int], 1, "is 1. It should be JSON."),
    (JsonValue, HELD, "It should be something that does not hold itself."),
    (type(pytest), 3, "It should be of the kind module."),
    (int | Literal["auto"], "many", "is 'many'. It should be a whole number or 'auto'."),
    (Visit, {"dayz": 1}, "is unknown. Remove it."),
]  # fmt: skip
#: Kinds of parts of a model, and those of faults that they raise beside `value_error`, which has words of its own.
PARTS: dict[str, tuple[str, ...]] = {
    "str": ("string_type", "string_unicode", "string_too_short", "string_too_long", "string_pattern_mismatch"),
    "int": ("int_type", "int_parsing", "int_parsing_size", "int_from_float", "greater_than_equal", "less_than_equal"),
    "float": ("float_type", "float_parsing", "finite_number", "greater_than", "less_than"),
    "bool": ("bool_type", "bool_parsing"),
    "literal": ("literal_error",),
    "none": ("none_required",),
    "list": ("list_type", "too_short", "too_long"),
    "tuple": ("tuple_type", "too_short", "too_long"),
    "dict": ("dict_type", "too_long", "recursion_loop"),
    "model": ("model_type", "model_attributes_type"),
    "dataclass": ("dataclass_type",),
    "tagged-union": ("invalid-json-value",),
    "is-instance": ("is_instance_of",),
}
#: Parts that only hold others, or call functions of this package, whose refusals have its words.
PLAIN = {
    "model-fields", "model-field", "dataclass-args", "dataclass-field", "nullable", "default", "union", "any",
    "definitions", "definition-ref", "json-or-python", "lax-or-strict", "no-info", "with-info",
    "function-after", "function-before", "function-plain",
}  # fmt: skip


def fault_of(asked: Any, given: Any) -> ValidationError:
    # Models have settings of their own.
    options: Any = {} if hasattr(asked, "__pydantic_core_schema__") else {"config": {"arbitrary_types_allowed": True}}
    with pytest.raises(ValidationError) as raised:
        TypeAdapter(asked, **options).validate_python(given)
    return raised.value


@pytest.mark.parametrize(("asked", "given", "said"), RAISED, ids=lambda one: repr(one)[:40])
def test_each_kind_of_fault_has_words(asked: Any, given: Any, said: str) -> None:
    found = first_fault(fault_of(asked, given).errors(include_url=False), given)
    assert f"{found.problem} {found.should_be or found.advice}".endswith(said)


def parts_of(schema: Any) -> Iterator[str]:
    if isinstance(schema, dict):
        if isinstance(schema.get("type"), str):
            yield schema["type"]
        for one in schema.values():
            yield from parts_of(one)
    elif isinstance(schema, list | tuple):
        for one in schema:
            yield from parts_of(one)


def below(kind: type[BaseModel]) -> Iterator[type[BaseModel]]:
    for one in kind.__subclasses__():
        yield one
        yield from below(one)


def test_no_model_of_this_package_raises_a_fault_without_words() -> None:
    for module in pkgutil.walk_packages(vispa.__path__, "vispa."):
        if not module.name.startswith(("vispa.generation.vllm", "vispa.bridges", "vispa.__main__")):
            importlib.import_module(module.name)
    recipe_model(), defaults_file(_CONFIGURABLE.values(), "cache")
    models = {one for one in below(BaseModel) if one.__module__.startswith("vispa.")}
    assert len(models) > 60 and {RespondBody, ChatBody} <= models
    parts = {part for one in models for part in parts_of(one.__pydantic_core_schema__)}
    assert parts - PLAIN <= PARTS.keys(), "say in vispa.files.wanted what such a part should be"
    raised = {fault_of(asked, given).errors(include_url=False)[0]["type"] for asked, given, _ in RAISED}
    for part in PARTS:
        for kind in PARTS[part]:
            assert kind in words_of._WORDS, kind
            assert kind in raised or kind == "model_attributes_type", kind


ASKED = {"text": "Eating meat"}
CHAT = {"model": "vispa", "messages": [{"role": "user", "content": "Eating meat"}]}


@pytest.mark.parametrize(
    ("model", "body", "said"),
    [
        (RespondBody, [], "body: is []. It should be an object."),
        (RespondBody, {}, "text: is missing. Add it."),
        (RespondBody, {"text": ""}, "text: is empty. It should be a text of at least 1 character."),
        (RespondBody, {"text": "\ud800"}, r"text: is '\ud800'. It should be a text without half of a surrogate pair."),
        (RespondBody, {**ASKED, "kk": 1}, "kk: is unknown, or has no effect here. Leave it out."),
        (RespondBody, {**ASKED, "recipe": 3},
         "recipe: is 3. It should be 'tuned', 'published' or 'portable' or an object."),
        (RespondBody, {**ASKED, "weights": {"karma": -1}}, "weights.karma: is -1. It should be at least 0."),
        (RespondBody, {**ASKED, "sampling": {"seed": 1.5}}, "sampling.seed: is 1.5. It should be a whole number."),
        (RespondBody, {**ASKED, "stream": "yes"}, "stream: is 'yes'. It should be true or false."),
        (SelectBody, {**ASKED, "k": "many"}, "k: is 'many'. It should be a whole number or 'auto'."),
        (SelectBody, {**ASKED, "k": 0}, "k: is 0. It should be at least 1 or 'auto'."),
        (TokensBody, {"items": []}, "items: is empty. It should be a list of at least 1 entry."),
        (BatchBody, {"items": [ASKED, {"text": ""}]},
         "items.1.text: is empty. It should be a text of at least 1 character."),
        (BatchBody, {"items": [{**ASKED, "id": 1.5}]}, "items.0.id: is 1.5. It should be a text or a whole number."),
        (ChatBody, {**CHAT, "tools": [1]}, "tools: is [1]. It should be empty."),
        (ChatBody, {**CHAT, "n": 2}, "n: is 2. It should be 1."),
        (ChatBody, {**CHAT, "messages": [{"role": "user", "content": None}]},
         "messages.0.content: is None. It should be a text or a list."),
        (CompletionBody, {"model": "vispa", "prompt": []},
         "prompt: is []. It should be a text or a list of at least 1 entry."),
    ],
)  # fmt: skip
def test_what_clients_are_told(model: type[Body], body: Any, said: str) -> None:
    errors = RequestValidationError(fault_of(model, body).errors()).errors()
    refused = _invalid([{**one, "loc": ("body", *one["loc"])} for one in errors], body)
    assert (refused.status, str(refused)) == (422, said)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["batch", "x.json", "--limit", "many"], "--limit: is 'many'. It should be a whole number. See"),
        (["batch", "x.json", "--limit", "0"], "--limit: is '0'. It should be at least 1. See"),
        (["serve", "--port", "70000"], "--port: is '70000'. It should be at most 65535. See"),
        (["respond", "x", "--threshold", "much"], "--threshold: is 'much'. It should be a number. See"),
        (["respond", "x", "--foo"], "No such option: --foo. See"),
        (["batch"], "Missing argument 'FILE'. See"),
    ],
)
def test_what_the_command_line_says(
    words: list[str], said: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["vispa", *words])
    assert _run() == 2
    assert capsys.readouterr().err.startswith(f"vispa: {said} `vispa {words[0]} --help`.")
