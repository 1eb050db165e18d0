"""The built-in taxonomy, and every way in which a user's own can be wrong."""

from __future__ import annotations

import json
import re
import shlex
from collections import Counter
from pathlib import Path

import pytest
from conftest import write_taxonomy
from typer.testing import CliRunner

from vispa.cli.main import app
from vispa.errors import InputError, TaxonomyError
from vispa.taxonomy import ContrastivePair, Taxonomy
from vispa.taxonomy.example import write_example

FIRST = {"i", "me", "my", "mine", "myself", "we", "us", "our", "ours", "ourselves"}
THIRD = {
    **dict.fromkeys(("he", "him", "his", "himself"), "he"),
    **dict.fromkeys(("she", "her", "hers", "herself"), "she"),
    **dict.fromkeys(("they", "them", "their", "theirs", "themselves"), "they"),
}


def words(sentence: str) -> list[str]:
    return re.findall(r"[a-z']+", sentence.lower())


def has_first_person(sentence: str) -> bool:
    return any(word.split("'")[0] in FIRST for word in words(sentence))


@pytest.fixture(scope="module")
def taxonomy() -> Taxonomy:
    return Taxonomy.built_in()


@pytest.fixture(scope="module")
def all_pairs(taxonomy: Taxonomy) -> list[tuple[str, ContrastivePair]]:
    return [(slug, pair) for slug in taxonomy for pair in taxonomy.pairs(slug)]


def test_thirty_one_values_in_five_families(taxonomy: Taxonomy) -> None:
    families = Counter(value.family for value in taxonomy.values)
    assert sorted(families.values()) == [4, 4, 6, 7, 10]
    assert {value.slug for value in taxonomy.values if value.polarity == "avoid"} == {"toxicity", "harmfulness"}
    for value in taxonomy.values:
        assert value.definition and value.theory and value.source
        assert 2 <= len(value.aliases) <= 3


def test_every_value_has_a_hundred_pairs_of_four_kinds(taxonomy: Taxonomy) -> None:
    for slug in taxonomy:
        kinds = Counter((pair.person, pair.form) for pair in taxonomy.pairs(slug))
        assert kinds == {(p, f): 25 for p in ("first", "third") for f in ("statement", "question")}, slug
        assert len({pair.scene for pair in taxonomy.pairs(slug)}) >= 8, slug


def test_no_sentence_occurs_twice(all_pairs: list[tuple[str, ContrastivePair]]) -> None:
    counts = Counter(" ".join(words(s)) for _, pair in all_pairs for s in (pair.positive, pair.negative))
    assert [sentence for sentence, count in counts.items() if count > 1] == []


def test_pairs_match_in_pronoun_and_form(all_pairs: list[tuple[str, ContrastivePair]]) -> None:
    for slug, pair in all_pairs:
        sides = (pair.positive, pair.negative)
        assert all(s.endswith("?" if pair.form == "question" else ".") for s in sides), (slug, pair)
        assert all(has_first_person(s) == (pair.person == "first") for s in sides), (slug, pair)
        if pair.person == "third":
            # The subject's pronoun comes first; who else is in the scene may differ.
            found = [next((THIRD[word] for word in words(s) if word in THIRD), None) for s in sides]
            assert found[0] == found[1] or None in found, (slug, pair)


def test_pairs_keep_length_and_scene(all_pairs: list[tuple[str, ContrastivePair]]) -> None:
    shares: dict[str, list[float]] = {}
    for slug, pair in all_pairs:
        positive, negative = words(pair.positive), words(pair.negative)
        assert 0.5 <= len(positive) / len(negative) <= 2, (slug, pair)
        common = len(set(positive) & set(negative)) / min(len(set(positive)), len(set(negative)))
        # All words may be shared where their order makes the difference (one for fifty, fifty for one).
        assert common >= 0.2 and positive != negative, (slug, pair)
        shares.setdefault(slug, []).append(common)
    for slug, found in shares.items():
        assert sum(found) / len(found) >= 0.45, slug


def test_names_are_found_by_label_and_alias(taxonomy: Taxonomy) -> None:
    assert taxonomy["Spirituality"].slug == "spiritual"
    assert taxonomy["honesty"].slug == "truthfulness"
    assert taxonomy["Long-Term_Orientation"].slug == "long-term_orientation"
    assert "kindness" in taxonomy and "nonsense" not in taxonomy


def test_unknown_value_offers_the_nearest(taxonomy: Taxonomy) -> None:
    with pytest.raises(InputError, match="Did you mean benevolence"):
        taxonomy["benevolense"]


def test_avoided_values_express_the_negative_sentences(taxonomy: Taxonomy) -> None:
    positive, _ = taxonomy.sentences("toxicity")
    assert positive[0] == taxonomy.pairs("toxicity")[0].negative
    positive, _ = taxonomy.with_polarity("paper").sentences("toxicity")
    assert positive[0] == taxonomy.pairs("toxicity")[0].positive
    assert taxonomy.fingerprint != taxonomy.with_polarity("paper").fingerprint


# ---------------------------------------------------------------- a user's own


def test_own_layout(tmp_path: Path) -> None:
    taxonomy = Taxonomy.load(write_taxonomy(tmp_path))
    assert list(taxonomy) == ["calm", "thrift", "candor"]
    assert len(taxonomy.pairs("candor")) == 8


def test_published_layout(tmp_path: Path) -> None:
    for slug in ("power_distance", "serenity"):
        (tmp_path / f"{slug}_context_controlled.csv").write_text(
            'question_1,question_2\n"I bow, always.",I nod.\nHe kneels.,He stands.\n', encoding="utf-8-sig"
        )
    taxonomy = Taxonomy.load(tmp_path)
    assert taxonomy.pairs("power_distance")[0] == ContrastivePair("I bow, always.", "I nod.")
    assert taxonomy["power_distance"].family == "Cultural dimensions"
    assert taxonomy["serenity"].label == "serenity"


def broken(folder: Path, what: str) -> Path:
    write_taxonomy(folder)
    pairs, values = folder / "pairs" / "calm.csv", folder / "values.toml"
    edits = {
        "header": lambda: pairs.write_text("good,bad\na,b\n"),
        "empty sentence": lambda: pairs.write_text("positive,negative\nI rest.,I shout.\nI sleep.,\n"),
        "equal sentences": lambda: pairs.write_text("positive,negative\nI rest.,I rest.\n"),
        "no pair": lambda: pairs.write_text("positive,negative\n"),
        "empty file": lambda: pairs.write_text(""),
        "not UTF-8": lambda: pairs.write_bytes(b"positive,negative\n\xff,b\n"),
        "missing pairs": pairs.unlink,
        "bad TOML": lambda: values.write_text("[calm"),
        "no value": lambda: values.write_text(""),
        "not a table": lambda: values.write_text("calm = 3\n"),
        "missing field": lambda: values.write_text('[calm]\nlabel = "calm"\nfamily = "x"\n'),
        "unknown field": lambda: values.write_text(
            '[calm]\nlabel = "calm"\nfamily = "x"\ndefinition = "y"\ncolour = "z"\n'
        ),
        "polarity": lambda: values.write_text(
            '[calm]\nlabel = "calm"\nfamily = "x"\ndefinition = "y"\npolarity = "up"\n'
        ),
        "aliases": lambda: values.write_text('[calm]\nlabel = "calm"\nfamily = "x"\ndefinition = "y"\naliases = "z"\n'),
        "same name": lambda: values.write_text(values.read_text() + 'aliases = ["calm"]\n'),
    }
    edits[what]()
    return folder


@pytest.mark.parametrize(
    ("what", "message"),
    [
        ("header", "calm.csv: has the header 'good,bad'"),
        ("empty sentence", "calm.csv line 3: column negative is empty"),
        ("equal sentences", "calm.csv line 2: both sentences are the same"),
        ("no pair", "calm.csv: holds no pair"),
        ("empty file", "calm.csv: is empty"),
        ("not UTF-8", "calm.csv: is not UTF-8 .byte 18"),
        ("missing pairs", "calm.csv: is missing"),
        ("bad TOML", "values.toml: is not valid TOML"),
        ("no value", "values.toml: defines no value"),
        ("not a table", r"values.toml \[calm\]: is not a table"),
        ("missing field", r"values.toml \[calm\] field definition: is missing"),
        ("unknown field", r"values.toml \[calm\] field colour: is unknown"),
        ("polarity", "field polarity: is 'up'.*'promote' or 'avoid'"),
        ("aliases", "field aliases: is 'z'"),
        ("same name", "the name 'calm' also belongs to"),
    ],
)
def test_each_fault_has_a_clear_error(tmp_path: Path, what: str, message: str) -> None:
    with pytest.raises(TaxonomyError, match=message):
        taxonomy = Taxonomy.load(broken(tmp_path, what))
        taxonomy.pairs("calm")


GOOD = 'label = "calm"\nfamily = "x"\ndefinition = "Being at rest."\n'


def changed(old: str, new: str) -> str:
    """A table with something else in it."""
    assert old in GOOD
    return f"[calm]\n{GOOD.replace(old, new)}"


def test_a_byte_order_mark_is_no_fault(tmp_path: Path) -> None:
    values = write_taxonomy(tmp_path) / "values.toml"
    values.write_bytes(b"\xef\xbb\xbf" + values.read_bytes())
    assert list(Taxonomy.load(tmp_path)) == ["calm", "thrift", "candor"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (f"[calm]\n{GOOD}theory = 3\n", r"\[calm\] field theory: is 3"),
        (f"[calm]\n{GOOD}aliases = [1, 2]\n", r"field aliases\[0\]: is 1"),
        (f'[calm]\n{GOOD}aliases = ["rest", ""]\n', r"field aliases\[1\]: is empty"),
        (f"[calm]\n{GOOD}polarity = true\n", "field polarity: is True"),
        (f'[calm]\n{GOOD}polarity = "PROMOTE"\n', "field polarity: is 'PROMOTE'"),
        (f"[calm]\n{GOOD}[calm.more]\nx = 1\n", "field more: is unknown"),
        (changed("Being at rest.", " "), "field definition: is empty"),
        (changed("Being at rest.", "​⁠"), "field definition: is empty"),
        (changed("Being at rest.", "Rest" * 600), "field definition: .*2000"),
        (changed("at rest", "at\\u001b[31mrest"), "field definition: holds a line end or another"),
        (changed("at rest", "at\\nrest"), "field definition: holds a line end or another"),
        (changed("at rest", "\\u202etser ta"), "field definition: holds a line end or another"),
        (changed('label = "calm"', 'label = "<b>calm</b>"'), "field label: holds the sign <"),
        (changed('label = "calm"', 'label = "{text}"'), "field label: holds the sign {"),
        (changed('label = "calm"', 'label = "[bold]calm"'), r"field label: holds the sign \["),
        (changed('label = "calm"', 'label = "\\u0007"'), "field label: is empty"),
        (changed('label = "calm"', 'label = "-"'), "field label: holds no letter or digit"),
        (changed('label = "calm"', 'label = "_ - …"'), "field label: holds no letter or digit"),
        (f'[calm]\n{GOOD}aliases = ["1", "?!"]\n', r"field aliases\[1\]: holds no letter or digit"),
        (changed('label = "calm"', f'label = "{chr(97) * 200}"'), "field label: .*100"),
        (f'["../../calm"]\n{GOOD}', "values.toml: '../../calm' is not a name"),
        (f'["/etc/passwd"]\n{GOOD}', "is not a name"),
        (f'["[red]calm"]\n{GOOD}', "is not a name"),
        (f'[""]\n{GOOD}', "is not a name"),
        (f'["calm\\n"]\n{GOOD}', "is not a name"),
        (f"[{'c' * 101}]\n{GOOD}", "is not a name"),
        (f"[calm]\n{GOOD}source = {'[' * 300}{']' * 300}\n", "nested too deeply|deep"),
        ("[calm]\n" + "a." * 2000 + "b = 1\n", "nested too deeply|deep"),
        (f"[calm]\n{GOOD}theory = nan\n", "no finite number"),
        (f"[calm]\n{GOOD}theory = 1999-01-01\n", "is '1999-01-01'"),
        ("".join(f"[v{n}]\n{GOOD}" for n in range(1001)), "defines 1,001 values"),
        ("calm = [1]\n", r"\[calm\]: is not a table"),
    ],
)
def test_values_are_checked_as_a_whole(tmp_path: Path, text: str, message: str) -> None:
    (write_taxonomy(tmp_path) / "values.toml").write_text(text, encoding="utf-8")
    with pytest.raises(TaxonomyError, match=message) as caught:
        Taxonomy.load(tmp_path)
    assert caught.value.advice and str(tmp_path) in caught.value.field
    assert len(str(caught.value)) < 600


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("positive,negative\nI rest, always,I shout\n", "calm.csv line 2: has 3 fields for 2 columns"),
        ('positive,negative\n"I rest,I shout\n', "line 2: has a quote that is not closed"),
        ("positive,negative,positive\na,b,c\n", "line 1: names the column 'positive' twice"),
        ("positive,negative\nI rest.\n", "line 2: has 1 fields"),
        ("positive,negative\nI rest.,\u200b\n", "line 2: column negative is empty"),
    ],
)
def test_pairs_are_found_wrong_when_the_taxonomy_is_loaded(tmp_path: Path, text: str, message: str) -> None:
    (write_taxonomy(tmp_path) / "pairs" / "calm.csv").write_text(text, encoding="utf-8")
    with pytest.raises(TaxonomyError, match=message):
        Taxonomy.load(tmp_path)


PUBLISHED = "question_1,question_2\nI save.,I spend.\nHe waits.,He runs.\n"


@pytest.mark.parametrize(
    "names",
    [
        ("long-term_orientation", "long_term_orientation"),
        ("slow_food", "slow-food"),
        ("Thrift", "thrift"),
        ("benevolence", "kindness"),
        ("self-direction", "autonomy"),
    ],
)
def test_published_files_of_one_value_are_both_named(tmp_path: Path, names: tuple[str, str]) -> None:
    for name in names:
        (tmp_path / f"{name}_context_controlled.csv").write_text(PUBLISHED)
    with pytest.raises(TaxonomyError) as caught:
        Taxonomy.load(tmp_path)
    assert all(f"{name}_context_controlled.csv" in str(caught.value) for name in names)


def test_a_published_file_is_the_built_in_value_under_either_spelling(tmp_path: Path) -> None:
    (tmp_path / "long_term-orientation_context_controlled.csv").write_text(PUBLISHED)
    assert Taxonomy.load(tmp_path).values == (Taxonomy.built_in()["long-term_orientation"],)


# ---------------------------------------------------------------- beginning one


def test_the_example_is_a_taxonomy(tmp_path: Path) -> None:
    written = write_example(tmp_path / "a" / "mine")
    assert all(path.is_file() for path in written)
    taxonomy = Taxonomy.load(tmp_path / "a" / "mine")
    assert len(taxonomy) == 3
    assert {value.polarity for value in taxonomy.values} == {"promote", "avoid"}
    assert not set(taxonomy) & set(Taxonomy.built_in())
    assert all(len(taxonomy.pairs(slug)) == 6 for slug in taxonomy)


def test_the_example_goes_into_an_empty_folder_alone(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    write_example(tmp_path / "empty")
    (tmp_path / "file").write_text("x")
    with pytest.raises(InputError, match="is not empty"):
        write_example(tmp_path / "empty")
    with pytest.raises(InputError, match="is a file"):
        write_example(tmp_path / "file")
    with pytest.raises(InputError, match="is not empty"):
        write_example(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"empty", "file"}


@pytest.mark.parametrize("count", [1, 2, 5])
def test_small_taxonomies_select_with_the_defaults(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, count: int) -> None:
    monkeypatch.setenv("VISPA_CACHE", str(tmp_path / "cache"))
    folder = tmp_path / "own"
    tables = []
    for number in range(count):
        (folder / "pairs").mkdir(parents=True, exist_ok=True)
        (folder / "pairs" / f"v{number}.csv").write_text("positive,negative\nI kept it.,I lost it.\nYes.,No.\n")
        tables.append(f'[v{number}]\nlabel = "v{number}"\nfamily = "x"\ndefinition = "Keeping thing {number}."\n')
    (folder / "values.toml").write_text("".join(tables))
    runner = CliRunner()
    found = runner.invoke(app, ["select", "Mending my bicycle", "--taxonomy", str(folder), "--json"])
    assert found.exit_code == 0, found.output
    assert len(json.loads(found.stdout)["values"]) == count
    assert f"the taxonomy has {count} values; all of them take part." in found.stderr
    refused = runner.invoke(app, ["select", "Mending my bicycle", "--taxonomy", str(folder), "--k", "6"])
    assert isinstance(refused.exception, InputError) and f"Choose from 1 to {count} values" in str(refused.exception)


@pytest.mark.parametrize("name", ["mine", "my vals", "Ann's", "a;b $HOME"])
def test_the_command_begins_a_taxonomy(tmp_path: Path, name: str) -> None:
    found = CliRunner().invoke(app, ["taxonomy", "new", str(tmp_path / name)])
    assert found.exit_code == 0 and "values.toml" in found.stdout
    advised = found.stdout.split("then: ")[1]
    assert shlex.split(advised)[-2:] == ["--taxonomy", str(tmp_path / name)]
    shown = CliRunner().invoke(app, ["values", *shlex.split(advised)[-2:]])
    assert shown.exit_code == 0 and "patience" in shown.stdout


def test_a_folder_without_a_taxonomy(tmp_path: Path) -> None:
    with pytest.raises(TaxonomyError, match="holds neither"):
        Taxonomy.load(tmp_path)
    with pytest.raises(TaxonomyError, match="is not a folder"):
        Taxonomy.load(tmp_path / "missing")
