"""Other languages than English: names of values, whose language is recognised, and who reads English alone."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import httpx2
import pytest
from conftest import write_taxonomy
from encoders import BagOfWords
from served import TEXT, Served, embedded_pipeline, started
from typer.testing import CliRunner

from benchmarks.languages import __main__ as command
from benchmarks.languages import figures as benchmark
from benchmarks.languages.section import draw, section
from vispa import Request, Vispa
from vispa.cli.main import app
from vispa.errors import InputError, LanguageError, TaxonomyError, VispaError
from vispa.evaluation.translations import translated_situations
from vispa.models import languages
from vispa.models.languages import Foreign, foreign
from vispa.modes.mixture import Mixture
from vispa.readers.base import Failure
from vispa.request import Mode
from vispa.selection import SELECTORS
from vispa.selection import languages as readable
from vispa.selection.choosing import Chooser
from vispa.selection.embedding import EmbeddingSelector
from vispa.taxonomy import Taxonomy
from vispa.taxonomy.languages import built_in_languages

OTHERS = ("de", "es", "fr", "hi", "tr", "zh")
GERMAN = "Darf ich meine Oma anlügen, um sie zu trösten?"


# ---------------------------------------------------------------- names


def test_the_languages_of_the_values_are_those_of_the_situations() -> None:
    assert built_in_languages() == ("en", *OTHERS)
    situations = translated_situations()
    assert set(situations) == {"en", *OTHERS}
    for own in situations.values():
        assert list(own) == list(situations["en"]) and len(own) == 60
        assert len(set(own.values())) == 60


@pytest.mark.parametrize("language", OTHERS)
def test_a_value_is_found_by_its_name_and_read_as_ever(language: str) -> None:
    english, taxonomy = Taxonomy.built_in(), Taxonomy.built_in(language)
    assert taxonomy.values == english.values and taxonomy.fingerprint == english.fingerprint
    shown = [taxonomy.shown(slug) for slug in taxonomy]
    assert len({value.label for value in shown}) == 31
    for value in shown:
        assert taxonomy[value.label].slug == value.slug
        assert value.definition != english[value.slug].definition
        assert taxonomy.name_of(value.slug) == f"{value.label} ({value.slug})"
    assert taxonomy.with_polarity("paper").name_of("karma") == taxonomy.name_of("karma")


def test_english_names_are_slugs() -> None:
    for language in (None, "en"):
        taxonomy = Taxonomy.built_in(language)
        assert taxonomy.language == language
        assert taxonomy.shown("honor") is taxonomy["honor"] and taxonomy.name_of("honor") == "honor"


def test_names_of_a_users_own_values(tmp_path: Path) -> None:
    folder = write_taxonomy(tmp_path)
    with pytest.raises(InputError, match=r"'de' is none .* Choose of en\."):
        Taxonomy.load(folder, "de")
    names = {"calm": "Ruhe", "thrift": "Sparsamkeit", "candor": "Offenheit"}
    file = folder / "values.de.toml"
    lines = [f'[{slug}]\nlabel = "{label}"\ndefinition = "Der Wert {label}."\n' for slug, label in names.items()]
    file.write_text("".join(lines))
    taxonomy = Taxonomy.load(folder, "de")
    assert taxonomy["ruhe"].slug == "calm" and taxonomy.shown("calm").definition == "Der Wert Ruhe."
    assert taxonomy.fingerprint == Taxonomy.load(folder).fingerprint
    file.write_text("".join(lines[1:]))
    with pytest.raises(TaxonomyError, match="lacks calm"):
        Taxonomy.load(folder, "de")
    file.write_text("".join(lines) + lines[0].replace("calm", "clam"))
    with pytest.raises(TaxonomyError, match=r"\[clam\].*no value"):
        Taxonomy.load(folder, "de")
    file.write_text("".join(lines).replace('label = "Ruhe"\n', ""))
    with pytest.raises(TaxonomyError, match=r"\[calm\].*label"):
        Taxonomy.load(folder, "de")
    for language in ("", "..", "DE", "de/../de", "toml"):
        with pytest.raises(InputError, match="Choose of"):
            Taxonomy.load(folder, language)


# ---------------------------------------------------------------- recognising


@pytest.mark.parametrize("language", OTHERS)
def test_translations_are_recognised(language: str) -> None:
    for text in translated_situations()[language].values():
        found = foreign(text)
        assert found is not None and found.sure, text


def test_english_is_not_refused() -> None:
    texts = benchmark.english_texts()
    assert len(texts) > 10_000
    refused = [text for text in texts[::10] if (found := foreign(text)) is not None and found.sure]
    assert refused == []
    for text in benchmark.SHORT.read_text(encoding="utf-8").splitlines():
        found = foreign(text)
        assert found is None or not found.sure, text


@pytest.mark.parametrize(
    "text",
    [
        "", "7", "🦆", "?!", "№", "ｌｙｉｎｇ ｔｏ ｍｙ ｂｏｓｓ", "𝓛𝔂𝓲𝓷𝓰 𝓽𝓸 𝓶𝔂 𝓫𝓸𝓼𝓼", "Joie de vivre", "Mein Kampf",
        "My neighbour says 妈妈 to her cat", "She shouted: Das darf doch nicht wahr sein! and left with the keys",
    ],
)  # fmt: skip
def test_short_and_mixed_texts_count_as_english(text: str) -> None:
    assert foreign(text) is None


@pytest.mark.parametrize(
    ("text", "language"),
    [
        (GERMAN, "de"), (GERMAN.upper(), "de"), ("堕胎", "zh"),
        ("愛", "zh"), ("あ", "ja"), ("माँ", "ne"), ("я", "bg"),
        ("أكذب على أمي", "ar"),
        ("Можно ли солгать больной бабушке, чтобы её утешить?", "ru"),
        ("Mag ik tegen mijn oma liegen?", "nl"), ("Okłamać moją chorą babcię", "pl"), (GERMAN * 400, "de"),
    ],
)  # fmt: skip
def test_other_languages_and_scripts(text: str, language: str) -> None:
    assert foreign(text) == Foreign(language, sure=True)


def test_plain_english_needs_no_detector(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> None:
        raise AssertionError("loaded")

    monkeypatch.setattr(languages, "_identifier", fail)
    assert foreign("Should I tell my boss that the figures in the report are wrong?") is None
    with pytest.raises(AssertionError, match="loaded"):
        foreign(GERMAN)


# ---------------------------------------------------------------- selecting


def test_a_selector_that_reads_english_alone_refuses_the_rest() -> None:
    chooser = Chooser(EmbeddingSelector(Taxonomy.built_in()))
    assert len(chooser.select([Request(TEXT, k=2)])[0]) == 2
    with pytest.raises(LanguageError, match=r"text: is not in English \(but de.*--selector-model.*--language en"):
        chooser.select([Request(TEXT), Request(GERMAN)])
    assert chooser.select([Request(GERMAN, values=("karma",))])[0][0].value == "karma"
    said = Chooser(EmbeddingSelector(Taxonomy.built_in("en")))
    assert len(said.select([Request(GERMAN, k=3)])[0]) == 3
    other = Chooser(EmbeddingSelector(Taxonomy.built_in("de")))
    with pytest.raises(InputError, match="language: is de, but the selector reads English alone"):
        other.select([Request(TEXT)])


@pytest.mark.parametrize(
    ("values", "mode", "weighs", "is_refused"),
    [
        ((), "overton", False, True),
        (("honor", "karma"), "distributional", True, True),
        (("honor", "karma"), "distributional", False, False),
        (("honor", "karma"), "overton", True, False),
    ],
)
def test_a_text_that_scores_weigh_is_refused_too(
    values: tuple[str, ...], mode: Mode, weighs: bool, is_refused: bool
) -> None:
    chooser, request = Chooser(EmbeddingSelector(Taxonomy.built_in())), Request(GERMAN, values, mode=mode)
    with pytest.raises(LanguageError, match="not in English") if is_refused else nullcontext():
        chooser.check(request, weighs=weighs)
    chooser.check(replace(request, text=TEXT), weighs=weighs)


def test_another_encoder_is_asked_about_any_language() -> None:
    for language in (None, "de"):
        selector = EmbeddingSelector(Taxonomy.built_in(language), BagOfWords())
        assert not selector.english_only
        assert len(Chooser(selector).select([Request(GERMAN, k=2)])[0]) == 2


def test_which_kinds_of_selector_read_english_alone() -> None:
    found = {kind: (one.english_only(None), one.english_only("some/model")) for kind, one in SELECTORS.items()}
    expected = {"embedding": (True, False), "nli": (True, False), "model": (False, False), "both": (True, True)}
    expected["mpnet"] = (True, True)
    assert found == expected


def test_a_doubtful_text_is_taken_with_one_warning(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(readable, "foreign", lambda text: Foreign("no", sure=False))
    readable._warn_once.cache_clear()
    for _ in range(2):
        readable.check_english(["a secret", "another"], None)
    (record,) = caplog.records
    assert "may not be in English" in record.message and "secret" not in record.message


@pytest.fixture(scope="module")
def pipeline() -> Vispa:
    return embedded_pipeline()


def test_of_many_texts_only_the_foreign_one_has_no_answer(pipeline: Vispa) -> None:
    requests = [Request(TEXT, k=1), Request(GERMAN, k=1), Request(GERMAN, values=("karma",))]
    first, second, third = pipeline.respond_many(requests, max_new_tokens=4)
    assert isinstance(second, Failure) and second.reason.startswith("text: is not in English")
    assert not isinstance(first, Failure) and not isinstance(third, Failure)
    with pytest.raises(LanguageError):
        pipeline.respond(GERMAN)


def test_named_values_that_weigh_by_relevance_are_refused_at_every_door(
    pipeline: Vispa, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pipeline, "mixture", Mixture("relevance"))
    requests = [Request(text, values=("karma", "honor"), mode="distributional") for text in (TEXT, GERMAN)]
    first, second = pipeline.respond_many(requests, max_new_tokens=4)
    assert not isinstance(first, Failure)
    assert isinstance(second, Failure) and second.reason.startswith("text: is not in English")
    with pytest.raises(LanguageError):
        pipeline.respond_one(requests[1])
    found = started(lambda: pipeline)
    body = {"text": GERMAN, "mode": "distributional", "values": ["karma", "honor"]}
    reply = httpx2.post(f"{found.url}/v1/vispa/respond", json=body, timeout=60)
    found.stop()
    assert reply.status_code == 422 and reply.json()["error"]["param"] == "text"


@pytest.fixture(scope="module")
def served(pipeline: Vispa) -> Iterator[Served]:
    found = started(lambda: pipeline)
    yield found
    found.stop()


@pytest.mark.parametrize("route", ["select", "respond"])
def test_a_server_names_the_field(served: Served, route: str) -> None:
    reply = httpx2.post(f"{served.url}/v1/vispa/{route}", json={"text": GERMAN}, timeout=60)
    error = reply.json()["error"]
    assert reply.status_code == 422 and error["param"] == "text" and "not in English" in error["message"]


# ---------------------------------------------------------------- commands


def run(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(app, list(arguments))
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        assert isinstance(result.exception, VispaError), result.exception
        return (2 if isinstance(result.exception, InputError) else 1), str(result.exception)
    return result.exit_code, result.output


def test_a_file_of_texts_fails_by_item(tmp_path: Path) -> None:
    texts = tmp_path / "texts.txt"
    texts.write_text(f"{TEXT}\n{GERMAN}\n", encoding="utf-8")
    result = CliRunner().invoke(app, ["select", "--input", str(texts), "--k", "1"])
    first, second = (json.loads(line) for line in result.stdout.splitlines()[:2])
    assert len(first["values"]) == 1 and "error" not in first
    assert "not in English" in second["error"] and "values" not in second
    assert "1 of 2 texts" in str(result.exception) + result.output


def test_respond_refuses_before_the_model_is_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vispa.cli.setup.Setup.load", lambda *given, **named: pytest.fail("loaded"))
    for arguments in (("respond", GERMAN), ("respond", TEXT, "--language", "fr")):
        code, words = run(*arguments)
        assert code == 2 and "English alone" in words


@pytest.mark.parametrize(
    ("more", "is_refused"),
    [
        (("--mode", "distributional", "--weights", "relevance"), True),
        (("--mode", "distributional", "--weights", "mean"), False),
        (("--mode", "distributional", "--weights", '{"karma": 1}'), False),
        (("--mode", "overton"), False),
    ],
)
def test_named_values_that_scores_weigh_are_refused_too(
    more: tuple[str, ...], is_refused: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def load(*_: object, **__: object) -> None:
        raise VispaError("loaded")

    monkeypatch.setattr("vispa.cli.setup.Setup.load", load)
    code, words = run("respond", GERMAN, "--values", "honor,karma", *more)
    assert (code, "not in English" in words, words == "loaded") == (
        (2, True, False) if is_refused else (1, False, True)
    )
    assert run("respond", TEXT, "--values", "honor,karma", *more) == (1, "loaded")


def test_values_by_their_names_in_a_language() -> None:
    code, words = run("values", "Gerechtigkeit", "--language", "de")
    assert code == 0 and words.startswith("Gerechtigkeit (justice)")
    code, words = run("values", "--language", "tr", "--json")
    assert code == 0 and {one["slug"]: one["label"] for one in json.loads(words)}["honor"] == "onur"


def test_a_multilingual_encoder_by_its_folder(tmp_path: Path) -> None:
    """A small random one: what it selects means nothing, but it is asked, and names are the language's."""
    folder = random_encoder(tmp_path / "encoder")
    code, words = run("select", GERMAN, "--language", "de", "--selector-model", str(folder), "--k", "31")
    assert code == 0 and "Benevolenz (benevolence)" in words and len(words.splitlines()) == 31


def random_encoder(folder: Path) -> Path:
    from sentence_transformers import SentenceTransformer
    from transformers import AutoTokenizer, BertConfig, BertModel

    from vispa.models.encoder import _bundled_folder

    tokenizer = AutoTokenizer.from_pretrained(_bundled_folder())
    shape = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1, "intermediate_size": 8}
    BertModel(BertConfig(vocab_size=len(tokenizer), **shape)).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    SentenceTransformer(str(folder), device="cpu").save(str(folder))
    return folder


def test_the_benchmark() -> None:
    found = benchmark.recognition(6)
    assert {name for name in found if len(name) == 2} == set(OTHERS)
    assert all(figure["n"] == 6 for one in found.values() for figure in one.values())
    assert found["de"]["refused"]["estimate"] == found["de"]["right"]["estimate"] == 1
    assert "right" not in found["English: own situations and pairs"]
    measured = benchmark.agreement(BagOfWords(), 6)
    assert set(OTHERS) < set(measured)
    for own in measured.values():
        assert -1 <= own["rank correlation"]["estimate"] <= 1
        assert 0 <= own["overlap at 6"]["low"] <= own["overlap at 6"]["estimate"] <= own["overlap at 6"]["high"] <= 1


@pytest.mark.parametrize(("count", "total"), [(0, 10), (10, 10), (3, 100), (0, 13_874)])
def test_a_share_has_an_interval_also_where_it_holds_of_none_or_all(count: int, total: int) -> None:
    found = benchmark.share([place < count for place in range(total)])
    assert found["estimate"] == count / total and found["n"] == total
    # What makes the rarer half of the ends as likely as 2.5 %, by counting.
    for end, tail in ((found["low"], range(count, total + 1)), (found["high"], range(count + 1))):
        if 0 < end < 1:
            likely = sum(math.comb(total, one) * end**one * (1 - end) ** (total - one) for one in tail)
            assert likely == pytest.approx(0.025, rel=1e-3)
    assert found["low"] < found["high"]


@pytest.mark.parametrize("encoder", [None, "words"])
def test_the_benchmarks_command_writes_what_its_tables_say(
    encoder: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(command, "load_encoder", lambda _name: BagOfWords())
    path = tmp_path / "languages.json"
    more = [] if encoder is None else ["--encoder", encoder]
    report = command.main(["--limit", "4", *more, "--json", str(path)])
    assert json.loads(path.read_text(encoding="utf-8")) == json.loads(json.dumps(report))
    assert report["command"] == " ".join(["python -m benchmarks.languages --limit 4", *more])
    assert ("agreement" in report) == (encoder is not None) and report["versions"]["py3langid"]
    printed = capsys.readouterr().out
    assert section(report) in printed and "| German | 4 | 100.0 % [39.8, 100.0] |" in printed
    draw(report, tmp_path / "languages.svg")
    drawn = (tmp_path / "languages.svg").read_text(encoding="utf-8")
    assert "share of texts refused" in drawn and ("overlap at 6" in drawn) == (encoder is not None)


def test_the_benchmark_refuses_no_texts() -> None:
    with pytest.raises(SystemExit) as stopped:
        command.main(["--limit", "0"])
    assert stopped.value.code == 2
