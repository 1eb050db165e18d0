"""Comments that are worth reading: whole sentences, no refusals, no repetitions, nothing that hangs in the air."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mode_parts import Encoder, Reader, parts

from vispa.cli.respond import _remarks
from vispa.evaluation.methods.vispa_method import _comment as as_run_keeps_it
from vispa.generation.rows import Generated, Row, Sampling
from vispa.generation.transformers import TransformersEngine
from vispa.models.encoding import chat_prompt
from vispa.models.loading import LoadedModel
from vispa.models.sentences import split_sentences
from vispa.modes.case import Case
from vispa.modes.checks import comment_checks
from vispa.modes.distributional import read_comments
from vispa.modes.endings import ended
from vispa.modes.overton.extractive import ExtractiveAggregator
from vispa.modes.overton.salient import adds_something, points_back, salient_sentences
from vispa.modes.overton.written import WrittenAggregator
from vispa.modes.prompts import built_in_prompts, words_stances
from vispa.modes.refusals import refuses
from vispa.modes.repeats import bundled_encode, repeated
from vispa.modes.steerable import SteerableMode
from vispa.pipeline import Vispa
from vispa.readers.base import Failure, Limited
from vispa.readers.local import LocalChat
from vispa.readers.replies import Reply, answer_of
from vispa.records import Comment, OvertonResponse, SteerableResponse
from vispa.request import EMBEDDED
from vispa.taxonomy import Taxonomy

SLUGS = ("calm", "thrift", "candor")


def comment(value: str, text: str, **fields: object) -> Comment:
    known = {"shift": {}, "prompt": "", "tokens": 1, "stance": {"support": 1.0}, **fields}
    return Comment(value=value, text=text, **known)


def case(*comments: Comment, text: str = "Paying a debt late") -> Case:
    return Case(text, comments, target="a right to rest", options=("Yes", "No"))


def never(texts: Sequence[str]) -> np.ndarray:
    raise AssertionError(f"embedded without need: {texts}")


# ---------------------------------------------------------------- endings


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("She is old. Tell her the tru", "She is old."),
        ("She is old. Tell her the truth.", "She is old. Tell her the truth."),
        ("Is it fair? Ask “Who pays?” And th", "Is it fair? Ask “Who pays?”"),
        ("I met Dr. Osei. He knows Mrs.", "I met Dr. Osei."),
        ("Two things count:\n1. Rest helps.\n2. Mon", "Two things count:\n1. Rest helps."),
        ("Rest helps.\n2.", "Rest helps."),
        ("Well… And", "Well…"),
        ("正直は大切だ。だか", "正直は大切だ。"),
        ("Stop it! 🙂 No", "Stop it!"),
        ("यह सही नहीं है। हमें सच बोलना चाहिए। ठी", "यह सही नहीं है। हमें सच बोलना चाहिए।"),
        ("मैं हूँ। हमें स", "मैं हूँ।"),
        ("यह सही है॥ ठी", "यह सही है॥"),
        ("هل هذا صحيح؟ نع", "هل هذا صحيح؟"),
        ("سچ بولو۔ ٹھی", "سچ بولو۔"),
        ("এটা ঠিক নয়। সত", "এটা ঠিক নয়।"),
        ("ይህ ትክክል ነው። እው", "ይህ ትክክል ነው።"),
        ("1. Rest helps. 2. Mon", "1. Rest helps."),
        ("1. Rest helps. 2.", "1. Rest helps."),
        ("Reasons: 1. Rest helps. 2. Mon", "Reasons: 1. Rest helps."),
    ],
)
def test_a_text_that_its_limit_stopped_ends_at_its_last_full_sentence(text: str, kept: str) -> None:
    assert ended(text, True) == (kept, "cut")
    assert ended(text, False) == (text, "own")


@pytest.mark.parametrize(
    "text", ["She is old and", "I saw Dr.", "1.", "१।", "Reasons: 1. He", "", "Two things:\n1. He", "- \n- \n-"]
)
def test_a_text_without_one_full_sentence_is_kept_and_says_so(text: str) -> None:
    assert ended(text, True) == (text, "unfinished")


@given(st.text(st.sampled_from("aZ .!?\n1。\"'"), max_size=60))
def test_what_is_cut_is_a_beginning_that_ends_like_a_sentence(text: str) -> None:
    kept, ending = ended(text, True)
    assert kept in text
    if ending == "cut":
        assert text.strip().startswith(kept) and split_sentences(kept)[-1].rstrip("\"'")[-1] in ".!?。"
    else:
        assert kept == text


def test_an_engine_says_which_texts_the_limit_stopped(llama: LoadedModel) -> None:
    rows = [Row(chat_prompt(llama, text)) for text in ("rain", "A longer question about snow")]
    short = TransformersEngine(llama).generate(rows, Sampling(3))
    end = llama.tokenizer.eos_token_id
    assert all(one.limited == (one.ids[-1] != end) for one in short) and any(one.limited for one in short)
    assert isinstance(LocalChat(TransformersEngine(llama)).write(["rain"], max_new_tokens=3)[0], Limited)


@pytest.mark.parametrize(("reason", "limited"), [("length", True), ("stop", False), (None, False)])
def test_an_api_says_so_too(reason: str | None, limited: bool) -> None:
    reply = Reply.model_validate({"choices": [{"message": {"content": "Rest. And"}, "finish_reason": reason}]})
    answer = answer_of(reply)
    assert answer == "Rest. And" and isinstance(answer, Limited) == limited


@pytest.mark.parametrize(
    ("text", "response", "ending"),
    [
        (Limited("Rest helps. Money is"), "Rest helps.", "cut"),
        (Limited("Rest helps and money"), "Rest helps and money", "unfinished"),
        ("Rest helps. Money is", "Rest helps. Money is", "own"),
    ],
)
def test_a_written_response_ends_at_a_sentence(text: str, response: str, ending: str) -> None:
    aggregator = WrittenAggregator(Reader(text), built_in_prompts().overton, Encoder())
    (answer,) = aggregator.aggregate([case(comment("calm", "Rest."))])
    assert isinstance(answer, OvertonResponse)
    assert (answer.response, answer.ending, answer.refused) == (response, ending, False)
    assert [claim.text for claim in answer.claims] == split_sentences(response)


def test_a_response_quotes_no_cut_sentence_where_it_has_others(small_taxonomy: Taxonomy) -> None:
    aggregator = ExtractiveAggregator(small_taxonomy, never)
    cut = [comment("calm", "Rest and the", ending="unfinished"), comment("thrift", "Save and", ending="unfinished")]
    some, none = aggregator.aggregate([case(*cut, comment("candor", "Speak up.")), case(*cut)])
    assert isinstance(some, OvertonResponse) and isinstance(none, OvertonResponse)
    assert "The model came to the end of no sentence for calm and thrift.\nCandor: Speak up." in some.response
    assert "Rest" not in some.response and none.response.endswith("\nCalm: Rest and the\nThrift: Save and")


# ---------------------------------------------------------------- refusals

REFUSALS = """
I'm sorry, but I can't help with that.
I’m sorry, but I can’t assist you with this request.
I cannot assist with harming anyone.
Sorry, I can't comment on that.
I am unable to provide an opinion on this matter.
I'm not able to discuss this topic.
As an AI, I do not have feelings.
As an AI language model, I cannot hold opinions. Still, honesty matters.
As a large language model, I try to stay neutral.
That is a hard question. As an AI assistant, I don't take sides.
Being an AI, I have no grandmother.
As an artificial intelligence, I see this differently.
As a customer service AI, I'm not capable of that.
I'm just an AI, so I cannot judge you.
I am an AI designed to assist with personal projects.
Hello! I'm only a language model and have no family.
I am a chatbot, not a friend.
I'm a helpful AI assistant named Ida, here to support you.
I'm sorry for any misunderstanding. I like to help. However, I'm not able to provide advice.
I'm a friendly and neutral AI, and I avoid such topics.
I don't have personal opinions or beliefs about food.
I do not have feelings or emotions about weddings.
I must respectfully decline.
I have to decline to answer.
I decline to comment.
I'd rather not answer that.
I would prefer not to say.
No comment.
It is not appropriate for me to comment on private matters.
It would be inappropriate for me to give advice here.
My guidelines do not allow me to speak about this.
My programming prevents me from taking sides.
I'm sorry for any confusion, but I'm not capable of providing a detailed answer.
I apologize for the misunderstanding. I cannot answer that question.
Unfortunately, I cannot provide legal advice.
I understand your concern, but I cannot offer medical advice.
Thank you for your question. I'm unable to comment on it.
I won't answer this question.
I cannot fulfill this request.
I can't engage in this conversation.
I cannot generate content of that kind.
This request goes against my principles.
I'm not comfortable discussing this.
As a virtual assistant, I can only give general information.
""".strip().splitlines()

VIEWS = """
I can't help feeling that she deserves the truth.
I cannot support stealing, whatever the reason.
I'm sorry to say it, but this is wrong.
I can't agree with firing a man who gave you ten years.
I could not do that to my own mother.
We cannot help everyone, but we can help her.
As an aid worker, I have seen what hunger does.
As an AI researcher, she should publish what she finds.
As a company that trains AI, they owe the public an answer.
Using AI to write an essay is a kind of cheating.
An AI tool can support a doctor, not replace one.
I am sorry for your loss; take the time that you need.
You have to decline the offer politely.
She would rather not answer, and that is her right.
It is not appropriate to read another person's letters.
It would be inappropriate to keep the money.
I don't have strong feelings about meat, but animals suffer.
I can't imagine a friend doing that.
I won't pretend that this is easy.
No comment can make up for the harm that was done.
A request like this deserves a plain answer.
I cannot stress enough how much trust matters.
He was unable to provide for his family, and so he stole.
They are not comfortable with the plan, and rightly so.
My training as a nurse taught me to be honest.
The guidelines of the school forbid phones, and that is fair.
Sorry is not enough; repair what you broke.
Refusing to help a stranger is a sad thing.
I am a friend of order, and order was broken here.
I do not have the right to decide for her.
Being an honest person costs something.
One must respectfully decline gifts that are meant to bribe.
I can't see why loyalty should count for nothing.
A language model should not decide who is hired.
I will not help a thief get away.
I cannot answer for my brother's debts.
I couldn't give up on a child.
""".strip().splitlines()


@pytest.mark.parametrize("text", REFUSALS)
def test_refusals_are_recognised(text: str) -> None:
    assert refuses(text) and refuses(text.replace("'", "’").upper())


@pytest.mark.parametrize("text", VIEWS)
def test_views_are_no_refusals(text: str) -> None:
    assert not refuses(text)


def test_a_refusal_is_looked_for_at_the_front_in_linear_time() -> None:
    assert not refuses("Rest helps. Money does not. Peace does. I cannot comment on the rest.")
    assert not refuses("sorry," * 20_000) and not refuses("i am sorry " * 5_000 + ", " * 20_000 + "x")


def test_a_refusal_counts_for_no_value(small_taxonomy: Taxonomy) -> None:
    said = [
        comment("calm", "Rest helps."),
        comment("thrift", "As an AI, I have no money.", refused=True, stance={}),
        comment("candor", "Speak up."),
    ]
    (answer,) = ExtractiveAggregator(small_taxonomy, never).aggregate([case(*said)])
    assert isinstance(answer, OvertonResponse) and answer.silent == ("thrift",)
    assert "As an AI" not in answer.response and "The model declined to speak for thrift." in answer.response
    assert answer.response.startswith("The values agree: calm and candor both speak for it.")
    reader = Reader("As an AI, I have no money.")
    (written,) = WrittenAggregator(reader, built_in_prompts().overton, Encoder()).aggregate([case(*said)])
    assert "As an AI" not in reader.asked[0] and "2 comments" in reader.asked[0]
    assert isinstance(written, OvertonResponse) and written.refused
    assert all(1 not in claim.comments for claim in written.claims)
    (steered,) = SteerableMode(parts(Reader())).answer([case(*said)])
    assert isinstance(steered, SteerableResponse) and steered.fit[1] == 0
    (read,) = read_comments(Reader(), [case(*said)], built_in_prompts())
    assert not isinstance(read, Failure) and read[1] is None and read[2] is not None
    nothing = case(*(replace_text(one, "No comment.") for one in said))
    (found,) = ExtractiveAggregator(small_taxonomy, never).aggregate([nothing])
    assert isinstance(found, Failure) and "refused" in found.reason


def replace_text(one: Comment, text: str) -> Comment:
    return one.model_copy(update={"text": text, "refused": True})


# ---------------------------------------------------------------- repetitions


@pytest.mark.parametrize(
    ("first", "second", "same"),
    [
        ("Honesty matters most here.", "Honesty matters the most here.", True),
        ("It is wrong to fire him to save money.", "It's wrong to fire him just to save money.", True),
        ("She should keep the promise.", "She should break the promise.", False),
        ("I would tell her the truth.", "I would not tell her the truth.", False),
        ("Lying is wrong even when it comforts.", "Lying is right when it comforts.", False),
        ("The safety of your family comes first.", "The customs of your family come first.", False),
        ("Comfort is more important than honesty.", "Honesty is more important than comfort.", False),
        ("It is wrong to eat meat.", "It is not wrong to eat meat.", False),
        ("It is wrong to eat meat.", "It isn’t wrong to eat meat.", False),
        (
            "It is acceptable to break a promise to save a life in this situation.",
            "It is unacceptable to break a promise to save a life in this situation.",
            False,
        ),
        (
            "Your loyalty to your family should come before your loyalty to your company.",
            "Your loyalty to your company should come before your loyalty to your family.",
            False,
        ),
        ("It is right to tell a dying woman a lie.", "It is not right to tell a dying woman a lie.", False),
        ("He should work 5 hours a day.", "He should work 8 hours a day.", False),
        ("It is not right to tell a lie.", "It isn't right to tell a lie.", True),
    ],
)
def test_what_is_said_again_in_other_words_is_found(first: str, second: str, same: bool) -> None:
    assert repeated([[first, None, second]], bundled_encode) == [[None, None, 0 if same else None]]


def test_repetitions_point_at_what_says_something_of_its_own() -> None:
    def encode(texts: Sequence[str]) -> np.ndarray:
        # Each letter is close to its neighbours in the alphabet, and to nothing else.
        angles = np.array([(ord(text) - ord("a")) * 0.2 for text in texts])
        return np.stack([np.cos(angles), np.sin(angles)], axis=1)

    assert np.cos(0.2) > comment_checks().same > np.cos(0.4)
    assert repeated([["a", "b", "c", "a"], ["c", "b"]], encode) == [[None, 0, None, 0], [None, 0]]
    assert repeated([["a", None, "a"], ["b"], []], never) == [[None, None, 0], [None], []]


def test_a_model_that_does_not_tell_values_apart_shows_as_such(small_taxonomy: Taxonomy) -> None:
    text = "Paying late is bad."
    same = [comment("calm", text), comment("thrift", text, repeats=0), comment("candor", text, repeats=0)]
    aggregator = ExtractiveAggregator(small_taxonomy, never)
    (answer,) = aggregator.aggregate([case(*same)])
    assert isinstance(answer, OvertonResponse)
    assert answer.response == (
        "The model says the same for calm, thrift and candor.\nCalm, thrift and candor: Paying late is bad."
    )
    assert answer.claims[1].comments == (0, 1, 2)
    (answer,) = aggregator.aggregate([case(*same[:2], comment("candor", "Tell them why."))])
    assert isinstance(answer, OvertonResponse) and "The values agree" in answer.response
    assert answer.response.endswith("\nCalm and thrift: Paying late is bad.\nCandor: Tell them why.")
    reader = Reader()
    WrittenAggregator(reader, built_in_prompts().overton, Encoder()).aggregate([case(*same)])
    assert reader.asked[0].count(text) == 1


# ---------------------------------------------------------------- sentences


@pytest.mark.parametrize(
    ("sentence", "points"),
    [
        ("This is hard.", True),
        ("It's a lie.", True),
        ("However, she is old.", True),
        ("On the other hand, it costs.", True),
        ("In this case, wait.", True),
        ("On the other side of town, it rains.", False),
        ("Thistles grow here.", False),
        ("Italy is far.", False),
        ("Honesty is this.", False),
        ("“These” are old.", True),
        ("", False),
    ],
)
def test_sentences_that_point_back_are_known(sentence: str, points: bool) -> None:
    assert points_back(sentence) == points


def by_letter(worths: dict[str, float]):
    """The worth of a sentence by its first letter."""
    return lambda _, sentences: [worths[one[0]] for one in sentences]


TEXT = "Alms are given. It helps. But it costs. Debts are paid. Ease is lost."


@pytest.mark.parametrize(
    ("worths", "said"),
    [
        ({"A": 0, "I": 1, "B": 0, "D": 0, "E": 0}, "Alms are given. It helps."),
        ({"A": 0, "I": 0, "B": 9, "D": 1, "E": 2}, "Debts are paid. Ease is lost."),
        ({"A": 3, "I": 0, "B": 9, "D": 1, "E": 2}, "Alms are given. Ease is lost."),
        ({"A": 3, "I": 2, "B": 9, "D": 1, "E": 0}, "Alms are given. It helps."),
    ],
)
def test_the_worthiest_sentences_that_can_stand_alone_are_chosen(worths: dict[str, float], said: str) -> None:
    assert " ".join(salient_sentences(0, TEXT, by_letter(worths))) == said


@pytest.mark.parametrize("first", ["This is a balance.", "These are hard.", "It asks for calm.", "However, we wait."])
@pytest.mark.parametrize(
    ("rest", "said"),
    [
        ("It takes time. Kindness helps.", "Kindness helps."),
        ("Kindness helps. Debts are paid.", "Kindness helps. Debts are paid."),
        ("Kindness helps. That is all.", "Kindness helps. That is all."),
        ("It takes time. However, it helps.", None),
    ],
)
def test_what_begins_by_pointing_at_the_text_is_quoted_only_where_nothing_stands_alone(
    first: str, rest: str, said: str | None
) -> None:
    def for_what_points(_: int, sentences: Sequence[str]) -> Sequence[float]:
        return [float(points_back(one)) for one in sentences]

    found = " ".join(salient_sentences(0, f"{first} {rest}", for_what_points))
    assert found == (said or f"{first} It takes time.")


@pytest.mark.parametrize("first", ["In this case we wait.", "In these matters, ask.", "In that event we go."])
def test_a_first_sentence_that_says_that_it_speaks_of_the_text_stands_alone(first: str) -> None:
    def for_the_first(_: int, sentences: Sequence[str]) -> Sequence[float]:
        return [1.0, *[0.0] * (len(sentences) - 1)]

    found = salient_sentences(0, f"{first} Kindness helps. {first} Debts are paid.", for_the_first)
    assert found == [first, "Kindness helps."]


def test_short_comments_are_whole_and_nothing_is_said_twice() -> None:
    def unasked(number: int, sentences: Sequence[str]) -> Sequence[float]:
        raise AssertionError(sentences)

    assert salient_sentences(0, "Rest. This helps.", unasked) == ["Rest.", "This helps."]
    assert salient_sentences(0, "Rest is good. Rest is good! Rest is good.", unasked) == ["Rest is good."]
    assert salient_sentences(0, "1. Rest is good. 2. Rest is good.", unasked) == ["1. Rest is good."]
    for different in (
        ["He should work 5 hours.", "He should work 8 hours."],
        ["Rest is worth more than work.", "Work is worth more than rest."],
        ["1. Rest is good.", "2. Work is good."],
    ):
        assert salient_sentences(0, " ".join(different), unasked) == different
    everything = dict.fromkeys("TI", 1.0)
    assert salient_sentences(0, "This is it. It is so. These are. They go.", by_letter(everything)) == [
        "This is it.",
        "It is so.",
    ]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("My boss reads my mail. Privacy counts. Nobody asked me.", ["Privacy counts.", "Nobody asked me."]),
        ("My boss, he reads my mail! Privacy counts.", ["Privacy counts."]),
        ("My boss reads my mail.", ["My boss reads my mail."]),
        ("My boss reads my mail. My boss reads my MAIL.", ["My boss reads my mail."]),
        ("My boss should not read what my friends mail to me. So there.", None),
    ],
)
def test_a_comment_is_not_quoted_by_what_only_says_the_situation_again(text: str, said: list[str] | None) -> None:
    found = salient_sentences(0, text, lambda _, sentences: [1.0] * len(sentences), "My boss reads my mail.")
    assert found == (said or split_sentences(text))


@pytest.mark.parametrize(
    "declined",
    [
        "I'm sorry, I couldn't help you.",
        "I can’t comment on this.",
        "Sorry, but I am unable to provide any advice.",
        "I must respectfully decline to answer.",
    ],
)
def test_what_declines_is_not_quoted_wherever_it_stands(declined: str) -> None:
    views = ["Trust counts.", "Privacy is hers.", "A boss may ask.", "Mail is no gift."]
    text = " ".join([*views, declined])
    assert not refuses(text)
    found = salient_sentences(0, text, lambda _, sentences: [float(one == declined) for one in sentences], TEXT)
    assert len(found) == 2 and declined not in found
    assert not adds_something(declined, TEXT)


@pytest.mark.parametrize(
    "view",
    [
        "I will not share any information, because she trusted me with it.",
        "I must decline the bribe: honesty matters more.",
        "I cannot comment on this while she is in mourning.",
    ],
)
def test_a_view_after_what_declines_may_be_quoted(view: str) -> None:
    assert adds_something(view, TEXT)


def test_the_sentence_that_bears_on_the_value_is_chosen() -> None:
    text = (
        "There is a lot to think about. The weather was fine on that day. "
        "Tell her the truth, for she deserves an honest word. Many people travel in spring."
    )
    other = "Obey the rules. Follow what the elders say."
    said = [comment("truthfulness", text), comment("conformity", other)]
    (answer,) = ExtractiveAggregator(Taxonomy.built_in()).aggregate([case(*said)])
    assert isinstance(answer, OvertonResponse)
    assert "Tell her the truth" in answer.response and "weather" not in answer.response


@pytest.mark.parametrize(("readable", "leads"), [(0, False), (1, False), (2, True), (3, True)])
def test_agreement_is_spoken_of_where_enough_stances_can_be_read(
    small_taxonomy: Taxonomy, readable: int, leads: bool
) -> None:
    said = [
        comment(value, f"{value} it is.", stance={"support": 1.0} if i < readable else {})
        for i, value in enumerate(SLUGS)
    ]
    (answer,) = ExtractiveAggregator(small_taxonomy, never).aggregate([case(*said)])
    assert isinstance(answer, OvertonResponse)
    assert ("speak for it" in answer.response) == leads
    assert ("agree" in answer.response) == (readable == 3)
    assert answer.response.startswith("Calm: calm it is.") != leads


# ---------------------------------------------------------------- through the pipeline


class EqualSelector:
    name = "equal"

    def __init__(self, taxonomy: Taxonomy) -> None:
        self.taxonomy = taxonomy

    def scores(self, texts: Sequence[str], progress: object = None) -> np.ndarray:
        return np.ones((len(texts), len(self.taxonomy)), dtype=np.float32)


def test_the_record_of_a_comment_says_what_is_the_matter_with_it(monkeypatch: pytest.MonkeyPatch) -> None:
    vispa = Vispa.embedded()
    texts = {
        "honor": Generated("Keep your word. And ke", 7, limited=True),
        "karma": Generated("Keep your word.", 4),
        "justice": Generated("I'm sorry, but I can't help with that.", 9),
        "power": Generated("Without any end", 3, limited=True),
    }
    monkeypatch.setattr(
        TransformersEngine,
        "generate",
        lambda _, rows, sampling, progress=None: [texts[r.steers[0].value] for r in rows],
    )
    answer = vispa.respond("Breaking a promise", values=tuple(texts))
    said = {one.value: one for one in answer.comments}
    assert said["honor"].text == "Keep your word." == said["karma"].text
    assert (said["honor"].ending, said["karma"].ending, said["power"].ending) == ("cut", "own", "unfinished")
    assert said["justice"].refused and said["justice"].stance == {} and answer.silent == ("justice",)
    (again,) = [one for one in answer.comments if one.repeats is not None]
    assert {again.value, answer.comments[again.repeats].value} == {"honor", "karma"}
    assert "The model declined to speak for justice." in answer.response
    assert answer.response.count("Keep your word.") == 1
    remarks = {value: _remarks(one, answer, str) for value, one in said.items()}
    assert "(refused)" in remarks["justice"] and "(unfinished)" in remarks["power"]
    assert f"(as {answer.comments[again.repeats].value})" in remarks[again.value]
    kept = as_run_keeps_it(again)
    assert (kept.ending, kept.refused, kept.repeats) == (again.ending, False, again.repeats)


def test_the_embedded_model_keeps_the_words_that_it_was_trained_on() -> None:
    own, general = built_in_prompts(EMBEDDED), built_in_prompts("some/model")
    assert own.comment == "Please comment on the following situation: {text}" != general.comment
    assert own.overton == general.overton and general == built_in_prompts()
    assert "short" in general.comment and own.digest != general.digest
    assert words_stances(EMBEDDED) and not words_stances("some/model")
    vispa = Vispa.embedded()
    answer = vispa.respond("Reading in bed", k=1)
    assert "Please comment on the following situation: Reading in bed" in answer.comments[0].prompt
    assert vispa.prompts == own and replace(own, comment=general.comment) == general


# ---------------------------------------------------------------- comments that say nothing of their own

TOLD = "A shepherd is told to replace his dogs with drones."


@pytest.mark.parametrize(
    "hollow",
    [
        "The shepherd is told to replace his dogs with drones.",
        "The shepherd is told to replace his dogs with drones. A shepherd is told to replace his dogs.",
        "A shepherd is told that the truth is that the truth is that the truth is that the truth is that.",
        "He needs to know what he needs to know what he needs to know.",
    ],
)
def test_a_response_does_not_quote_what_repeats_the_situation_or_itself(hollow: str, small_taxonomy: Taxonomy) -> None:
    aggregator = ExtractiveAggregator(small_taxonomy, never)
    comments = [comment("calm", hollow), comment("thrift", "Dogs eat, and drones need repair."), comment("candor", "")]
    some, none = aggregator.aggregate([case(*comments, text=TOLD), case(comment("calm", hollow), text=TOLD)])
    assert isinstance(some, OvertonResponse) and isinstance(none, OvertonResponse)
    assert "The model says nothing of its own for calm.\nThrift: Dogs eat" in some.response
    assert [claim.values for claim in some.claims if "says nothing of its own" in claim.text] == [("calm",)]
    assert "says nothing of its own" not in none.response and "\nCalm: " in none.response


@pytest.mark.parametrize(
    "text",
    [
        "His dogs are told to sleep, and the drones hum over the sheep they never knew.",
        "No shepherd should replace what he loves.",
        "The shepherd is not told to replace his dogs with drones.",
        "The shepherd is told to replace his dogs with drones. A dog is a friend to him.",
    ],
)
def test_what_adds_anything_is_quoted(text: str, small_taxonomy: Taxonomy) -> None:
    (answer,) = ExtractiveAggregator(small_taxonomy, never).aggregate(
        [case(comment("calm", text), comment("thrift", "Dogs eat, and drones need repair."), text=TOLD)]
    )
    assert isinstance(answer, OvertonResponse)
    assert "says nothing of its own" not in answer.response and "Calm: " in answer.response
    assert "The shepherd is told to replace his dogs with drones" not in answer.response


def test_an_answer_in_the_words_of_the_question_is_quoted(small_taxonomy: Taxonomy) -> None:
    asked = "Is it wrong to steal bread to feed a family?"
    said = [comment("calm", "It is wrong to steal bread to feed a family."), comment("thrift", "It is not.")]
    (answer,) = ExtractiveAggregator(small_taxonomy, never).aggregate([case(*said, text=asked)])
    assert isinstance(answer, OvertonResponse)
    assert "says nothing of its own" not in answer.response and "Calm: It is wrong to steal" in answer.response


@pytest.mark.parametrize(
    ("comment", "situation", "adds"),
    [
        ("Should I lie to my boss?", "Should I lie to my boss?", False),
        ("“Should I lie to my boss?”", "My boss asks. Should I lie to my boss?", False),
        ("Should you lie to your boss? Should I lie to my boss?", "Should I lie to my boss?", True),
        ("Should I not lie to my boss?", "Should I lie to my boss?", True),
        ("I should lie to my boss.", "Should I lie to my boss?", True),
        ("هل أكذب على مديري في العمل؟", "هل أكذب على مديري في العمل؟", False),
        ("上司に嘘をつく？", "上司に嘘をつく？", False),
        ("2.", "Should I lie to my boss?", False),
        ("2.\n3)", "My boss reads my mail.", False),
        ("👍 !", "My boss reads my mail.", False),
        ("8 hours.", "How long should he work?", True),
    ],
)
def test_a_question_asked_again_and_a_number_add_nothing(comment: str, situation: str, adds: bool) -> None:
    assert adds_something(comment, situation) == adds


@pytest.mark.parametrize("hollow", [0, 1])
def test_of_comments_that_say_the_same_the_one_that_says_more_is_quoted(hollow: int, small_taxonomy: Taxonomy) -> None:
    texts = ["Dogs know the sheep, and drones do not."] * 2
    texts[hollow] = "The shepherd is told to replace his dogs with drones."
    said = [comment("calm", texts[0]), comment("thrift", texts[1], repeats=0), comment("candor", "Ask the shepherd.")]
    (answer,) = ExtractiveAggregator(small_taxonomy, never).aggregate([case(*said, text=TOLD)])
    assert isinstance(answer, OvertonResponse)
    names = ("Calm", "Thrift")
    assert f"says nothing of its own for {names[hollow].lower()}." in answer.response
    assert f"{names[1 - hollow]}: Dogs know the sheep" in answer.response
    assert f"{names[hollow]}: " not in answer.response and f"{names[hollow]} and" not in answer.response
