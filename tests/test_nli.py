"""The NLI gate: held to the zero-shot pipeline of transformers, and its cache of scores."""

from __future__ import annotations

import json
import multiprocessing
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import (
    AutoConfig,
    AutoModelForSequenceClassification,
    DebertaV2Tokenizer,
    PreTrainedTokenizerFast,
    ZeroShotClassificationPipeline,
)

from vispa.errors import InputError, ModelError, NumericalError
from vispa.files.score_cache import ScoreCache
from vispa.models.batching import Budget
from vispa.models.nli_labels import nli_labels
from vispa.selection.nli import HYPOTHESIS, NliSelector
from vispa.taxonomy import Taxonomy, Value

LABELS = ["calm", "long-term thrift", "candor", "care for nature and animals"]
TAXONOMY = Taxonomy([Value(label.replace(" ", "_"), label, "test", f"About {label}.") for label in LABELS], {})
LONGEST = 96
TEXTS = [
    "Feeding pigeons",
    "Should I sell the house that my late father built with his own hands, or should I let it to a stranger? " * 3,
    "¿Mentir a un juez? 🙂",
    "Yes.",
    "Telling my grandmother a comforting lie about the dog",
]
ORDERS = {
    "entailment first": ["entailment", "neutral", "contradiction"],
    "contradiction first": ["CONTRADICTION", "NEUTRAL", "ENTAILMENT"],
    "two labels": ["contradiction", "entailment"],
    "two labels turned": ["Entailment", "Contradiction"],
    "two labels, one negated": ["entailment", "not_entailment"],
}


def byte_tokenizer() -> PreTrainedTokenizerFast:
    vocabulary = {"[PAD]": 0, "[CLS]": 1, "[SEP]": 2}
    for character in sorted(pre_tokenizers.ByteLevel.alphabet()):
        vocabulary[character] = len(vocabulary)
    raw = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    raw.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    raw.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[("[CLS]", 1), ("[SEP]", 2)],
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=raw,
        cls_token="[CLS]",
        sep_token="[SEP]",
        eos_token="[SEP]",
        pad_token="[PAD]",
        model_max_length=LONGEST,
    )


def letter_pieces() -> DebertaV2Tokenizer:
    pieces = [(piece, 0.0) for piece in ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")]
    pieces += [(character, -3.0) for character in "▁abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.,?-"]
    pieces += [("▁the", -2.0), ("▁value", -2.5), ("▁to", -2.2)]
    return DebertaV2Tokenizer(vocab=pieces, model_max_length=LONGEST)


def save_model(folder: Path, kind: str = "bert", labels: list[str] | None = None, seed: int = 0, **extra) -> Path:
    """A random sequence classifier with its tokenizer."""
    labels = labels or ORDERS["entailment first"]
    tokenizer = letter_pieces() if kind == "deberta-v2" else byte_tokenizer()
    settings: dict[str, object] = {
        "vocab_size": len(tokenizer),
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "max_position_embeddings": LONGEST,
        "initializer_range": 0.3,
        "pad_token_id": 0,
        "id2label": dict(enumerate(labels)),
        "label2id": {label: position for position, label in enumerate(labels)},
    }
    if kind == "deberta-v2":
        settings |= {
            "type_vocab_size": 0,
            "relative_attention": True,
            "position_biased_input": False,
            "pos_att_type": ["p2c", "c2p"],
            "position_buckets": 16,
            "share_att_key": True,
            "norm_rel_ebd": "layer_norm",
            "pooler_hidden_size": 32,
        }
    if kind == "llama":
        tokenizer.model_input_names = ["input_ids", "attention_mask"]
    torch.manual_seed(seed)
    config = AutoConfig.for_model(kind, **{**settings, **extra})
    model = AutoModelForSequenceClassification.from_config(config, dtype=torch.float32).eval()
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def bert(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(save_model(tmp_path_factory.mktemp("bert")))


def pipeline_scores(selector: NliSelector, texts: list[str], template: str = HYPOTHESIS) -> np.ndarray:
    pipeline = ZeroShotClassificationPipeline(model=selector.classifier.model, tokenizer=selector.classifier.tokenizer)
    rows = []
    for text in texts:
        said = pipeline(
            text, candidate_labels=LABELS, hypothesis_template=template.replace("{label}", "{}"), multi_label=True
        )
        score = dict(zip(said["labels"], said["scores"], strict=True))
        rows.append([score[label] for label in LABELS])
    return np.array(rows)


class CountingPasses:
    """Counts the forward passes of a selector's model and the sizes of their input."""

    def __init__(self, selector: NliSelector) -> None:
        self.shapes: list[tuple[int, ...]] = []
        selector.classifier.model.register_forward_pre_hook(self._count, with_kwargs=True)

    def _count(self, model: object, args: object, kwargs: dict[str, torch.Tensor]) -> None:
        self.shapes.append(tuple(kwargs["input_ids"].shape))


# ---------------------------------------------------------------- scores


@pytest.mark.parametrize("labels", ORDERS.values(), ids=ORDERS)
def test_scores_equal_the_zero_shot_pipeline(labels: list[str], tmp_path: Path) -> None:
    selector = NliSelector(TAXONOMY, str(save_model(tmp_path, labels=labels)), cache=None)
    found = selector.scores(TEXTS)
    assert found.shape == (len(TEXTS), len(LABELS))
    assert found.dtype == np.float32
    assert found.std() > 0.01
    np.testing.assert_allclose(found, pipeline_scores(selector, TEXTS), atol=1e-5)


@pytest.mark.parametrize(
    ("kind", "extra"),
    [("deberta-v2", {}), ("roberta", {"max_position_embeddings": LONGEST + 1}), ("llama", {"pad_token_id": None})],
)
def test_other_architectures_equal_the_pipeline(kind: str, extra: dict[str, object], tmp_path: Path) -> None:
    selector = NliSelector(TAXONOMY, str(save_model(tmp_path, kind, **extra)), cache=None, budget=Budget(300))
    found = selector.scores(TEXTS)
    assert found.std() > 0.001
    np.testing.assert_allclose(found, pipeline_scores(selector, TEXTS), atol=1e-5)


def test_labels_between_others_are_read_by_name(tmp_path: Path) -> None:
    """Where the pipeline would take the first or last logit for the contradiction, whatever its name."""
    folder = save_model(tmp_path, labels=["neutral", "entailment", "contradiction"])
    selector = NliSelector(TAXONOMY, str(folder), cache=None)
    pair = selector.classifier.tokenizer(TEXTS[0], HYPOTHESIS.format(label=LABELS[2]), return_tensors="pt")
    _, entailment, contradiction = selector.classifier.model(**pair).logits[0].exp().tolist()
    assert selector.scores(TEXTS[:1])[0, 2] == pytest.approx(entailment / (entailment + contradiction), abs=1e-5)


def test_own_template(bert: str) -> None:
    template = "It is about {label}, is it not?"
    selector = NliSelector(TAXONOMY, bert, template=template, cache=None)
    np.testing.assert_allclose(selector.scores(TEXTS), pipeline_scores(selector, TEXTS, template), atol=1e-5)


def test_batches_stay_within_their_budget_and_change_nothing(bert: str) -> None:
    whole, small = (NliSelector(TAXONOMY, bert, cache=None, budget=Budget(budget)) for budget in (10_000, 250))
    passes = CountingPasses(small)
    np.testing.assert_allclose(small.scores(TEXTS), whole.scores(TEXTS), atol=1e-5)
    assert all(rows * width <= 250 for rows, width in passes.shapes)
    assert len(passes.shapes) > 1
    assert [width for _, width in passes.shapes] == sorted((width for _, width in passes.shapes), reverse=True)
    assert sum(rows for rows, _ in passes.shapes) == len(TEXTS) * len(LABELS)


def test_a_pair_beyond_the_budget_runs_alone(bert: str) -> None:
    selector = NliSelector(TAXONOMY, bert, cache=None, budget=Budget(1))
    passes = CountingPasses(selector)
    selector.scores(TEXTS[:2])
    assert [rows for rows, _ in passes.shapes] == [1] * 8


def test_only_the_text_is_cut(bert: str) -> None:
    selector = NliSelector(TAXONOMY, bert, cache=None)
    seen: list[torch.Tensor] = []
    selector.classifier.model.register_forward_pre_hook(
        lambda _, __, given: seen.append(given["input_ids"]), with_kwargs=True
    )
    selector.scores([TEXTS[1]])
    (tokens,) = seen
    assert tokens.shape == (len(LABELS), LONGEST)
    for row, label in zip(tokens, LABELS, strict=True):
        ends = HYPOTHESIS.format(label=label)
        expected = [2, *selector.classifier.tokenizer(ends, add_special_tokens=False)["input_ids"], 2]
        assert row[-len(expected) :].tolist() == expected


def test_the_models_limit_counts_where_the_tokenizer_has_none(tmp_path: Path) -> None:
    folder = save_model(tmp_path, "roberta", max_position_embeddings=80)
    settings = json.loads((folder / "tokenizer_config.json").read_text())
    settings.pop("model_max_length")
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    selector = NliSelector(TAXONOMY, str(folder), cache=None)
    passes = CountingPasses(selector)
    selector.scores([TEXTS[1]])
    assert passes.shapes == [(len(LABELS), 79)]


def test_repeated_texts_are_scored_once_and_progress_counts_all(bert: str) -> None:
    selector = NliSelector(TAXONOMY, bert, cache=None, budget=Budget(300))
    passes = CountingPasses(selector)
    done: list[int] = []
    found = selector.scores([TEXTS[0], TEXTS[3], TEXTS[0]], done.append)
    np.testing.assert_array_equal(found[0], found[2])
    assert sum(rows for rows, _ in passes.shapes) == 2 * len(LABELS)
    assert sum(done) == 3
    assert selector.scores([]).shape == (0, len(LABELS))
    assert selector.name == f"nli:{bert}"


def test_scores_that_are_not_finite_are_reported(bert: str) -> None:
    selector = NliSelector(TAXONOMY, bert, cache=None)
    selector.classifier.model.classifier.bias.data[0] = float("nan")
    with pytest.raises(NumericalError, match="|".join(LABELS)):
        selector.scores(TEXTS[:1])


# ---------------------------------------------------------------- refusals


def test_names_without_entailment_are_refused_with_what_was_found(tmp_path: Path) -> None:
    folder = save_model(tmp_path, labels=["LABEL_0", "LABEL_1", "LABEL_2"])
    with pytest.raises(ModelError, match="LABEL_0, LABEL_1, LABEL_2"):
        NliSelector(TAXONOMY, str(folder))


@pytest.mark.parametrize("labels", [["entailment", "neutral"], ["contradiction", "neutral"], ["not_entailment", "x"]])
def test_one_missing_label_is_refused(labels: list[str]) -> None:
    config = AutoConfig.for_model("bert", id2label=dict(enumerate(labels)), label2id={})
    with pytest.raises(ModelError, match=labels[0]):
        nli_labels(config, "some-model")


def test_either_table_of_labels_is_enough_but_they_must_agree() -> None:
    config = AutoConfig.for_model("bert")
    names = {"contradiction": 0, "neutral": 1, "entailment": 2}
    config.id2label, config.label2id = {0: "LABEL_0", 1: "LABEL_1", 2: "LABEL_2"}, names
    assert nli_labels(config, "m") == (0, 2)
    config.id2label, config.label2id = {2: "Contra", 1: "n", 0: "ENTAIL"}, None
    assert nli_labels(config, "m") == (2, 0)
    config.label2id = names
    with pytest.raises(ModelError, match="differ"):
        nli_labels(config, "m")


def test_a_model_that_is_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ModelError, match="is not a folder"):
        NliSelector(TAXONOMY, str(tmp_path / "nowhere"))
    with pytest.raises(ModelError, match="Name a folder"):
        NliSelector(TAXONOMY, str(tmp_path))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(ModelError, match="or a hub id that can be reached"):
        NliSelector(TAXONOMY, "nobody/no-such-model")


def test_weights_that_are_not_safetensors_are_not_read(tmp_path: Path) -> None:
    folder = save_model(tmp_path)
    torch.save({"classifier.bias": torch.zeros(3)}, folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    with pytest.raises(ModelError, match=r"no file named model\.safetensors"):
        NliSelector(TAXONOMY, str(folder))


def test_a_model_without_its_classifier_is_refused(tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    file = save_model(tmp_path) / "model.safetensors"
    kept = {name: weight for name, weight in load_file(file).items() if not name.startswith("classifier")}
    save_file(kept, file, metadata={"format": "pt"})
    with pytest.raises(ModelError, match="classifier"):
        NliSelector(TAXONOMY, str(tmp_path))


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"template": "This text is about values."}, "template"),
        ({"template": "very " * 30 + "{label}"}, "template"),
        ({"device": "abacus"}, "device"),
        ({"dtype": "roman"}, "model"),
    ],
)
def test_bad_arguments_name_what_is_wrong(bert: str, options: dict[str, object], field: str) -> None:
    with pytest.raises(InputError) as caught:
        NliSelector(TAXONOMY, bert, cache=None, **options)
    assert caught.value.field == field


# ---------------------------------------------------------------- the cache


@pytest.fixture
def open_selector(bert: str, tmp_path: Path) -> Iterator[Callable[..., tuple[NliSelector, CountingPasses]]]:
    def make(model: str = bert, taxonomy: Taxonomy = TAXONOMY, **options: object):
        selector = NliSelector(taxonomy, model, cache=tmp_path / "cache", **options)
        return selector, CountingPasses(selector)

    yield make


def test_the_second_call_runs_no_pass(open_selector) -> None:
    first, _ = open_selector()
    expected = first.scores(TEXTS)
    for selector, passes in [open_selector(), open_selector(budget=Budget(100))]:
        done: list[int] = []
        np.testing.assert_array_equal(selector.scores(TEXTS[::-1], done.append), expected[::-1])
        assert passes.shapes == []
        assert sum(done) == len(TEXTS)


def test_only_new_texts_run(open_selector) -> None:
    selector, passes = open_selector()
    selector.scores(TEXTS[:2])
    passes.shapes.clear()
    found = selector.scores(TEXTS[:3])
    assert sum(rows for rows, _ in passes.shapes) == len(LABELS)
    np.testing.assert_allclose(found, pipeline_scores(selector, TEXTS[:3]), atol=1e-5)


def test_an_interrupted_run_keeps_what_it_finished(open_selector) -> None:
    class StopError(Exception):
        pass

    def stop(count: int) -> None:
        raise StopError

    selector, _ = open_selector(budget=Budget(LONGEST))
    with pytest.raises(StopError):
        selector.scores(TEXTS, stop)
    again, passes = open_selector(budget=Budget(LONGEST))
    again.scores(TEXTS)
    assert 0 < sum(rows for rows, _ in passes.shapes) < len(TEXTS) * len(LABELS)


def test_other_models_templates_and_labels_reuse_nothing(open_selector, tmp_path: Path) -> None:
    open_selector()[0].scores(TEXTS)
    renamed = Taxonomy([*TAXONOMY.values[:3], Value("last", "patience", "test", "About patience.")], {})
    others = [
        open_selector(str(save_model(tmp_path / "other", seed=1))),
        open_selector(str(save_model(tmp_path / "turned", labels=ORDERS["contradiction first"]))),
        open_selector(template="About {label}."),
        open_selector(taxonomy=renamed),
        open_selector(dtype="bfloat16"),
    ]
    for selector, passes in others:
        assert selector.scores(TEXTS).shape == (len(TEXTS), len(LABELS))
        assert len(passes.shapes) > 0


@pytest.mark.parametrize("damage", ["text", "middle", "other table"])
def test_a_damaged_cache_is_not_fatal(open_selector, tmp_path: Path, damage: str) -> None:
    file = tmp_path / "cache" / "scores.sqlite3"
    first, _ = open_selector()
    expected = first.scores(TEXTS)
    if damage == "text":
        file.write_text("this is no database " * 300)
    elif damage == "middle":
        content = bytearray(file.read_bytes())
        content[100:3000] = b"\xff" * 2900
        file.write_bytes(content)
    else:
        file.unlink()
        with sqlite3.connect(file) as database:
            database.execute("CREATE TABLE scored (something TEXT)")
        database.close()
    second, passes = open_selector()
    np.testing.assert_allclose(second.scores(TEXTS), expected, atol=1e-6)
    assert passes.shapes
    if damage != "other table":
        passes.shapes.clear()
        second.scores(TEXTS)
        assert passes.shapes == []


def test_the_default_cache_is_the_users(bert: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VISPA_CACHE", str(tmp_path / "user"))
    NliSelector(TAXONOMY, bert).scores(TEXTS[3:4])
    assert (tmp_path / "user" / "nli" / "scores.sqlite3").is_file()
    monkeypatch.setenv("VISPA_CACHE", str(tmp_path / "unused"))
    NliSelector(TAXONOMY, bert, cache=None).scores(TEXTS[3:4])
    assert not (tmp_path / "unused").exists()


def row(number: int) -> np.ndarray:
    return np.array([number, 0.25, 1 / 3], dtype=np.float32)


def test_a_row_with_a_flipped_bit_counts_as_missing(tmp_path: Path) -> None:
    cache = ScoreCache(tmp_path / "file", 3)
    cache.put({b"a": row(0), b"b": row(1)})
    with sqlite3.connect(cache.path) as database:
        (stored,) = database.execute("SELECT scores FROM scored WHERE key = ?", (b"a",)).fetchone()
        changed = bytes([stored[0] ^ 1]) + stored[1:]
        database.execute("UPDATE scored SET scores = ? WHERE key = ?", (changed, b"a"))
    database.close()
    found = cache.get([b"a", b"b", b"c"])
    assert list(found) == [b"b"]
    np.testing.assert_array_equal(found[b"b"], row(1))
    assert ScoreCache(cache.path, 4).get([b"b"]) == {}


def test_a_folder_that_cannot_be_written_to_is_not_fatal(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    cache = ScoreCache(tmp_path / "file" / "inside", 3)
    cache.put({b"a": row(0)})
    assert cache.get([b"a"]) == {}
    (tmp_path / "folder").mkdir()
    cache = ScoreCache(tmp_path / "folder", 3)
    cache.put({b"a": row(0)})
    assert cache.get([b"a"]) == {}


def write_rows(path: Path, worker: int) -> None:
    cache = ScoreCache(path, 3)
    for number in range(20):
        cache.put({f"{worker}-{number}".encode(): row(number)})


def test_processes_share_a_cache(tmp_path: Path) -> None:
    path = tmp_path / "shared" / "file"
    context = multiprocessing.get_context("fork")
    workers = [context.Process(target=write_rows, args=(path, worker)) for worker in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    keys = [f"{worker}-{number}".encode() for worker in range(3) for number in range(20)]
    assert set(ScoreCache(path, 3).get(keys)) == set(keys)
