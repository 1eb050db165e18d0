"""Overton coverage against slow loops, on a small random judge and on made-up ones."""

from __future__ import annotations

import sqlite3

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import DebertaV2Config, DebertaV2ForSequenceClassification, PreTrainedTokenizerFast

from vispa.errors import InputError, ModelError, NumericalError
from vispa.evaluation.metrics.coverage import (
    EmbeddingLikeness,
    EntailmentCoverage,
    embedding_coverage,
    embedding_likenesses,
    entailment_coverage,
    entailment_scores,
)
from vispa.files import caching
from vispa.models.batching import Budget
from vispa.models.nli import CACHE_FILE, NliJudge
from vispa.models.nli_labels import nli_labels
from vispa.models.sentences import split_sentences

RESPONSES = [
    "Keep the promise. Others rely on it! It may cost you an evening, though.",
    "",
    "Keep the promise.\nAsk the others first.",
]
EXPLANATIONS = [
    ["Trust grows where promises are kept.", "One's own time matters."],
    ["Nothing is said."],
    ["Trust grows where promises are kept.", "Asking shows respect.", "A long one. " * 60],
]


@pytest.fixture(scope="module")
def judge_folder(tmp_path_factory):
    """A random DeBERTa-v2 classifier with a byte tokenizer; `ENTAILMENT` is its second label."""
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
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=raw, pad_token="[PAD]", cls_token="[CLS]", sep_token="[SEP]", model_max_length=128
    )
    config = DebertaV2Config(
        vocab_size=len(vocabulary),
        hidden_size=16,
        intermediate_size=24,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=512,
        relative_attention=True,
        position_buckets=16,
        pos_att_type=["p2c", "c2p"],
        type_vocab_size=0,
        initializer_range=0.8,
        pad_token_id=0,
        id2label={0: "NEUTRAL", 1: "ENTAILMENT", 2: "CONTRADICTION"},
        label2id={"NEUTRAL": 0, "ENTAILMENT": 1, "CONTRADICTION": 2},
    )
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("judge")
    DebertaV2ForSequenceClassification(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("VISPA_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def slow_entailment(folder, premise, hypothesis):
    """One pair, no padding, no cache."""
    tokenizer = PreTrainedTokenizerFast.from_pretrained(folder)
    model = DebertaV2ForSequenceClassification.from_pretrained(folder).eval()
    inputs = tokenizer(premise, hypothesis, truncation=True, max_length=128, return_tensors="pt")
    with torch.no_grad():
        return float(model(**inputs).logits[0].softmax(-1)[1])


class Overlap:
    """Counts as entailment the share of the hypothesis' words that the premise has."""

    name = "overlap"

    def entailment(self, pairs, progress=None):
        return np.array([len(set(p.split()) & set(h.split())) / len(set(h.split())) for p, h in pairs])


class Letters:
    """Unit vectors of letter counts."""

    name = "letters"

    def encode(self, texts, progress=None):
        counts = np.array([[text.count(c) for c in "abcdefghijklmnopqrstuvwxyz"] for text in texts], dtype=np.float32)
        return counts / np.linalg.norm(counts, axis=1, keepdims=True)


# ---------------------------------------------------------------- entailment


def test_scores_are_those_of_the_slow_loop(judge_folder, cache):
    expected = []
    for response, explanations in zip(RESPONSES, EXPLANATIONS, strict=True):
        sentences = split_sentences(response)
        best = [max((slow_entailment(judge_folder, e, s) for s in sentences), default=0.0) for e in explanations]
        expected.append(sum(best) / len(best))
    judge = NliJudge(str(judge_folder), device="cpu")
    scores = entailment_scores(RESPONSES, EXPLANATIONS, judge)
    np.testing.assert_allclose(scores, expected, atol=1e-5)
    assert scores[1] == 0
    assert len({round(float(score), 3) for score in scores}) == 3
    figures = entailment_coverage(RESPONSES, EXPLANATIONS, judge)
    assert figures.entailment_mean == pytest.approx(sum(expected) / 3, abs=1e-5)
    assert figures.entailment_deviation == pytest.approx(np.std(expected), abs=1e-5)
    assert figures.covered_share == sum(score > 0.33 for score in expected) / 3
    assert (figures.n, figures.judge) == (3, str(judge_folder))


def test_pairs_are_judged_once(judge_folder, cache, monkeypatch):
    judge = NliJudge(str(judge_folder), device="cpu")
    judged = []
    original = judge._judged
    monkeypatch.setattr(judge, "_judged", lambda rows: judged.append(len(rows)) or original(rows))
    pairs = [("a b", "c"), ("a", "b c"), ("a b", "c")]
    seen = []
    first = judge.entailment(pairs, seen.append)
    assert (sum(judged), sum(seen)) == (2, 2)
    assert first[0] == first[2] != first[1]
    again = NliJudge(str(judge_folder), device="cpu")
    monkeypatch.setattr(again, "_judged", lambda rows: pytest.fail("judged again"))
    np.testing.assert_array_equal(again.entailment(pairs[::-1], seen.append), first[::-1])
    assert sum(seen) == 4
    assert [path.name for path in cache.iterdir()] == ["judged-pairs.sqlite"]


def test_batches_do_not_change_the_result(judge_folder, monkeypatch):
    judge = NliJudge(str(judge_folder), device="cpu", use_cache=False)
    pairs = [(e, s) for e in EXPLANATIONS[2] for s in ("Yes.", "No, not at all.", "Perhaps " * 9)]
    whole = judge.entailment(pairs)
    sizes = []
    original = judge._judged
    monkeypatch.setattr(judge, "_judged", lambda rows: sizes.append(len(rows)) or original(rows))
    judge.budget = Budget(300)
    np.testing.assert_allclose(judge.entailment(pairs), whole, atol=1e-5)
    assert len(sizes) > 2
    judge.budget = Budget(rows=1)
    np.testing.assert_allclose(judge.entailment(pairs), whole, atol=1e-5)
    assert judge.entailment([]).shape == (0,)


def test_the_cache_keeps_judges_apart(judge_folder, cache):
    pair = [("a", "b")]
    first = NliJudge(str(judge_folder), device="cpu")
    half = NliJudge(str(judge_folder), device="cpu", dtype="bfloat16")
    assert first.entailment(pair)[0] != half.entailment(pair)[0]
    assert first.fingerprint == half.fingerprint
    with sqlite3.connect(cache / "judged-pairs.sqlite") as connection:
        assert connection.execute("SELECT COUNT(*) FROM scored").fetchone() == (2,)


def test_a_failing_batch_keeps_what_was_judged_before(judge_folder, cache, monkeypatch):
    judge = NliJudge(str(judge_folder), device="cpu")
    judge.budget = Budget(rows=1)
    with torch.no_grad():
        good = judge.model.classifier.bias.clone()
    calls = iter([None, torch.full_like(good, float("nan"))])
    original = judge._judged

    def break_second(rows):
        broken = next(calls)
        if broken is not None:
            judge.model.classifier.bias.data = broken
        return original(rows)

    monkeypatch.setattr(judge, "_judged", break_second)
    with pytest.raises(NumericalError, match="finite"):
        judge.entailment([("long premise", "b"), ("a", "b")])
    with sqlite3.connect(cache / "judged-pairs.sqlite") as connection:
        assert connection.execute("SELECT COUNT(*) FROM scored").fetchone() == (1,)


def test_the_label_is_found_whatever_its_number():
    def entailment(*labels):
        config = DebertaV2Config(id2label=dict(enumerate(labels)), label2id={})
        return nli_labels(config, "judge", contrast=False).entailment

    assert entailment("entailment", "neutral", "contradiction") == 0
    assert entailment("CONTRADICTION", "NEUTRAL", "ENTAILMENT") == 2
    assert entailment("not_entailment", "entailment") == 1
    assert entailment("neutral", "ENTAILMENT") == 1
    with pytest.raises(ModelError, match="LABEL_0, LABEL_1"):
        entailment("LABEL_0", "LABEL_1")


def test_unusable_judges_are_refused(tmp_path, judge_folder):
    with pytest.raises(ModelError, match=r"^judge: .* holds no config\.json"):
        NliJudge(str(tmp_path))
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(ModelError, match=r"^judge: .* cannot be loaded"):
        NliJudge(str(tmp_path))
    with pytest.raises(InputError, match="dtype"):
        NliJudge(str(judge_folder), dtype="int8")


def test_pickled_weights_are_refused(tmp_path, judge_folder):
    for name in ("config.json", "tokenizer.json", "tokenizer_config.json"):
        (tmp_path / name).write_bytes((judge_folder / name).read_bytes())
    model = DebertaV2ForSequenceClassification.from_pretrained(judge_folder)
    torch.save(model.state_dict(), tmp_path / "pytorch_model.bin")
    with pytest.raises(ModelError, match="safetensors"):
        NliJudge(str(tmp_path), use_cache=False)


@pytest.mark.parametrize("what", ["no folder", "a damaged file", "a folder in its place"])
def test_a_cache_that_cannot_be_used_stops_no_judge(what, tmp_path, judge_folder, cache, monkeypatch, caplog):
    monkeypatch.setattr(caching, "_said", set())
    pairs = [("She hums a tune.", "Someone hums."), ("Nobody came.", "Many came.")]
    expected = NliJudge(str(judge_folder), device="cpu", use_cache=False).entailment(pairs)
    if what == "no folder":
        cache.write_text("a file")
    elif what == "a damaged file":
        cache.mkdir()
        (cache / CACHE_FILE).write_bytes(b"no database" * 1000)
    else:
        (cache / CACHE_FILE).mkdir(parents=True)
    judge = NliJudge(str(judge_folder), device="cpu")
    for _ in range(3):
        np.testing.assert_array_equal(judge.entailment(pairs), expected)
    assert len([record for record in caplog.records if record.name.startswith("vispa")]) == 1


# ---------------------------------------------------------------- the figures


def test_the_share_of_covered_situations_is_strictly_above_the_limit():
    class Fixed:
        name = "fixed"

        def entailment(self, pairs, progress=None):
            return np.array([float(premise) for premise, _ in pairs])

    figures = entailment_coverage(["One."] * 3, [["0.33"], ["0.34"], ["0.2", "0.8"]], Fixed())
    assert figures.covered_share == pytest.approx(2 / 3)
    assert figures.entailment_mean == pytest.approx((0.33 + 0.34 + 0.5) / 3)


def test_premise_is_the_explanation_and_hypothesis_the_sentence():
    # "a b" has all words of "a", "a" only half of those of "a b".
    assert entailment_scores(["a"], [["a b"]], Overlap())[0] == 1
    assert entailment_scores(["a b"], [["a"]], Overlap())[0] == 0.5


@pytest.mark.parametrize(
    ("responses", "explanations", "field"),
    [([], [], "responses"), (["a"], [], "responses"), (["a"], [[]], "explanations[0]")],
)
def test_unusable_situations_are_refused(responses, explanations, field):
    for call in (
        lambda: entailment_scores(responses, explanations, Overlap()),
        lambda: embedding_likenesses(responses, explanations, Letters()),
    ):
        with pytest.raises(InputError) as error:
            call()
        assert error.value.field == field


# ---------------------------------------------------------------- embeddings


def test_likeness_is_that_of_the_slow_loop():
    expected = []
    for response, explanations in zip(RESPONSES, EXPLANATIONS, strict=True):
        best = []
        for explanation in explanations:
            cosines = [0.0]
            for sentence in split_sentences(response):
                a, b = Letters().encode([explanation, sentence]).astype(float)
                cosines.append(float(a @ b))
            best.append(max(cosines))
        expected.append(sum(best) / len(best))
    np.testing.assert_allclose(embedding_likenesses(RESPONSES, EXPLANATIONS, Letters()), expected, atol=1e-6)
    figures = embedding_coverage(RESPONSES, EXPLANATIONS, Letters())
    assert figures.cosine_mean == pytest.approx(np.mean(expected), abs=1e-6)
    assert figures.cosine_deviation == pytest.approx(np.std(expected), abs=1e-6)
    assert (figures.n, figures.encoder) == (3, "letters")


def test_opposite_meaning_is_no_less_than_silence():
    class Opposed:
        name = "opposed"

        def encode(self, texts, progress=None):
            return np.array([[1.0] if text == "Gold." else [-1.0] for text in texts], dtype=np.float32)

    assert embedding_likenesses(["Said."], [["Gold."]], Opposed())[0] == 0
    assert embedding_likenesses([" \n"], [["Gold."]], Opposed())[0] == 0


def test_the_two_figures_cannot_be_mixed_up():
    shared = set(EntailmentCoverage.model_fields) & set(EmbeddingLikeness.model_fields)
    assert shared == {"n"}
    figures = embedding_coverage(RESPONSES, EXPLANATIONS, Letters())
    with pytest.raises(ValueError, match="entailment_mean"):
        EntailmentCoverage(**figures.model_dump())


def test_the_bundled_encoder_finds_the_explanation_that_is_covered():
    from vispa.models.encoder import load_encoder

    encoder = load_encoder()
    near, far = embedding_likenesses(
        ["Friends can rely on you if you keep your word.", "The soup needs salt."],
        [["Trust grows where promises are kept."]] * 2,
        encoder,
    )
    assert near > far
