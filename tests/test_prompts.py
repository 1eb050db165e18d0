"""Prompt templates: what they may hold, and how texts come into them."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from string import Formatter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vispa.errors import InputError
from vispa.evaluation.methods.prompts import method_prompts
from vispa.modes.case import Case
from vispa.modes.prompts import built_in_prompts
from vispa.modes.questions import option_prompt
from vispa.modes.templates import filled, placeholders

plain = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
parts = st.one_of(
    plain.map(lambda text: text.replace("{", "{{").replace("}", "}}")), st.sampled_from(["{text}", "{name}"])
)


@given(st.lists(parts, max_size=6).map("".join), st.text(), st.text())
def test_templates_are_filled_as_python_fills_them(template: str, text: str, name: str) -> None:
    assert filled(template, text=text, name=name) == template.format(text=text, name=name)
    assert placeholders(template, "here") == {word for _, word, _, _ in Formatter().parse(template) if word}


@pytest.mark.parametrize("text", ["{options}", "{text!r}", "{{}}", "{", "}", "{0}", "\\1 \\g<0>", "{text.__class__}"])
def test_texts_are_never_read_as_templates(text: str) -> None:
    prompts = built_in_prompts()
    assert filled("{text} {options}", text=text, options="{text}") == f"{text} {{text}}"
    case = Case(text=text, comments=(), options=("Yes", text), country=text)
    asked = option_prompt(case, prompts, text)
    assert asked.count(text) >= 4
    assert "Options: A. Yes B. " + text in asked


@pytest.mark.parametrize(
    "template",
    [
        "{text:>99999999}",
        "{text!r}",
        "{text.__class__}",
        "{text[0]}",
        "{text:{text}}",
        "{0}",
        "{}",
        "{ text }",
        "{text",
        "text}",
        "{text} and }",
        "{{text} {text}",
        "{text} {Text}",
    ],
)
def test_only_plain_names_stand_in_braces(tmp_path: Path, template: str) -> None:
    (tmp_path / "p.toml").write_text(f"comment = '''{template}'''\n")
    with pytest.raises(InputError, match=r"p\.toml field comment: has a brace that is not around a plain name"):
        built_in_prompts().overridden(tmp_path / "p.toml")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("comments = '{text}'", "field comments: is unknown. Known: comment, stance"),
        ("overridden = '{text}'", "field overridden: is unknown"),
        ("comment = ['{text}']", r"field comment: is \['{text}'\]. It should be a text"),
        ("[comment]\na = '{text}'", "field comment: is {'a': '{text}'}. It should be a text"),
        ("comment = 1979-05-27", "field comment: is '1979-05-27'"),
        ("comment = '{text} {options}'", r"field comment: has the placeholders \['options', 'text'\]"),
        ('comment = "{text}\\u0000"', "field comment: holds a NUL character"),
    ],
)
def test_files_of_prompts_are_checked_as_a_whole(tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / "p.toml").write_text(content)
    with pytest.raises(InputError, match=rf"p\.toml {message}"):
        built_in_prompts().overridden(tmp_path / "p.toml")


def test_braces_that_are_meant_as_text_are_doubled(tmp_path: Path) -> None:
    (tmp_path / "p.toml").write_text("comment = 'Reply as {{\"comment\": …}}: {text}'\n", encoding="utf-8")
    prompt = built_in_prompts().overridden(tmp_path / "p.toml").comment
    assert filled(prompt, text="{{Bees}}") == 'Reply as {"comment": …}: {{Bees}}'


@pytest.mark.parametrize("prompts", [built_in_prompts(), method_prompts()])
def test_all_prompts_of_the_package_are_templates(prompts: object) -> None:
    for name, template in asdict(prompts).items():  # type: ignore[call-overload]
        assert placeholders(template, name) or "{" not in template
