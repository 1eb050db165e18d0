"""An assistant's talk to its user is no view, and no answer quotes it where anything else is said."""

from __future__ import annotations

from pathlib import Path

import pytest
from test_comment_quality import TOLD, case, comment, never

from vispa.files.tables import read_table
from vispa.models.sentences import split_sentences
from vispa.modes.chatter import chats, without_chatter
from vispa.modes.overton.extractive import ExtractiveAggregator
from vispa.records import OvertonResponse
from vispa.taxonomy import Taxonomy

WRITTEN = Path(__file__).parents[1] / "benchmarks" / "data" / "written_comments.csv"

CHATTER = [
    "How can I help you?",
    "How can I help?",
    "what can I do for you today?",
    "Can I help you find a place to stay?",
    "Can you help my friend?",
    "Could you please provide more details about the shepherd?",
    "I’m here to help.",
    "I am always here to support you.",
    "I'm here for her.",
    "I'm sorry.",
    "I’m so sorry for your friend’s loss.",
    "I am so very sorry to hear about your brother's dog.",
    "So sorry for your loss!",
    "My deepest condolences to the family.",
    "Please feel free to ask if anything is unclear.",
    "Don't hesitate to contact me.",
    "Let me know if you'd like to talk more.",
    "I hope this helps!",
    "I hope you're doing well.",
    "Thank you so much for your kindness.",
    "Special thanks to everyone who has supported me.",
    "Would you like me to go on?",
    "What do you need?",
    "Do you need help with the dogs?",
    'I would suggest rephrasing the sentence to: "The safety of the dogs is paramount" to avoid ambiguity.',
    "I'm sorry for the mistake.",
    "And I’m so sorry for any loss you're going through.",
    "I'm sorry for the mistake, but I'm sorry for the mistake.",
    "A shepherd is told to replace his dogs with drones, I'm so sorry for your loss.",
    "I'm sorry to hear that.",
    "I'm so sorry to hear about the loss of your friend.",
    "I'm sorry for the loss of your mother.",
    "I'm here to help you with any questions you may have.",
    "I'm here to listen and support you.",
    "I'm here if you need to talk.",
    "Do you have any other questions?",
    "Is there anything specific you'd like to discuss?",
    "Please let me know.",
    "Let me know if you have any questions or need more information.",
    "If you'd like, feel free to ask.",
    "Hello, how can I help you?",
    "Thank you, everyone.",
    "I'm sorry to hear that, Sarah.",
    "I'm sorry for your loss, my friend.",
    "Hello!",
    "I apologize for the confusion.",
    "My apologies.",
    "I'd be more than happy to help you find a place to live.",
    "What can I help you with?",
    "How can I help you with your situation?",
    "If you have any questions, feel free to ask.",
    "Oh, I'm so sorry for your loss.",
    "My heart goes out to the family.",
    "Thanks a lot!",
    "You're welcome!",
    "Please provide more context.",
    "“I'm here to help.”",
    "Here is a revised version of the text in which the shepherd keeps all of his dogs until the end of the winter.",
]
VIEWS = [
    "How can I help my mother without lying to her?",
    "I'm sorry for your friend, but the truth would still be right.",
    "I am here to help because a neighbour in need comes before my own evening plans, whatever they are.",
    "I'm sorry that the dogs lose their work.",
    "I would be sorry for the dogs.",
    "Sorry is a word that costs nothing.",
    "Thanks are due to the dogs.",
    "Helping her is more important than winning.",
    "Can a drone love a sheep?",
    "Would you like it if somebody read your diary?",
    "I hope the shepherd keeps his dogs.",
    "I hope this helps the shepherd to see how much his dogs mean to the village and to the sheep.",
    "I'm sorry for her, but I think lying is wrong.",
    "I'm sorry for your loss, but I think the truth matters.",
    "I'm sorry for him, it is wrong to lie to the dying.",
    "I'm here for you, and honesty is the best policy.",
    "Thank you for the truth, it sets us free.",
    "Thanks to all his years of work, the shepherd deserves better.",
    "Here is my answer: tell the truth.",
    "Here is the answer: she should tell her mother the truth, because it is hers to know.",
    "I recommend writing your will now so that your children do not quarrel over the house.",
    "I would suggest writing the letter to your mother and telling her everything.",
    "Would you like to be lied to by your own doctor?",
    "Can you help your friend without lying to her?",
    "Could you share a secret that is not yours?",
    "I'm here for her because family comes first.",
    "I am here to support her right to know the truth.",
    "Don't hesitate to report the theft to the police.",
    "Feel free to break a promise that harms others.",
    "Let me know the truth even if it hurts.",
    "I hope it helps her to forgive him.",
    "I'm sorry for any loss of trust this brings to the village.",
    "Thanks to everyone's honesty the village can trust him.",
    "I'm sorry for her and I think lying is wrong.",
    "I'm sorry for your pain though the truth is better.",
    "I'm sorry for his children who deserve to know the truth.",
    "I'm sorry for your loss — honesty still matters.",
    "I'm sorry for my careless glossing over the truth.",
    "Thank you for your honesty because lies would hurt more.",
    "Let me know when you lie to me because trust is all we have.",
    "My sympathies are with the workers who lose their jobs to machines.",
    "Can you tell your mother the truth?",
    "Could you give some of your money to the poor?",
    "Would you like to know the truth if it were your mother?",
    "Would you like more freedom or more security?",
    "I'd be happy to help my neighbour even when it costs me.",
    "I would be glad to help anyone who is in need.",
    "Here is a possible answer: tell her the truth.",
    "Yes, tell the dentist that you are afraid.",
    "If you need the money, sell the dogs.",
    "Sure, the drones are cheaper.",
    "Let the shepherd decide.",
    "What do you need money for?",
    "Please the dogs, and they will work for you.",
    "Is there anything more honest than a dog?",
    "You can help your friend by listening.",
    "I would suggest that the shepherd keeps his dogs.",
    "Here is a man who loves his dogs.",
]

# What is left of views that follow on chatter.
LEFT = {
    "I'm sorry for your friend, but the truth would still be right.": "but the truth would still be right.",
    "I'm sorry for her, but I think lying is wrong.": "but I think lying is wrong.",
    "I'm sorry for your loss, but I think the truth matters.": "but I think the truth matters.",
    "I'm sorry for him, it is wrong to lie to the dying.": "it is wrong to lie to the dying.",
    "I'm here for you, and honesty is the best policy.": "and honesty is the best policy.",
}


@pytest.mark.parametrize("sentence", CHATTER)
def test_chatter_is_known(sentence: str) -> None:
    left = without_chatter(sentence)
    assert left in ("", TOLD.rstrip("."))
    assert chats(sentence) == chats(f"  {sentence.upper()}\n")
    assert bool(left) == bool(without_chatter(f"  {sentence.upper()}\n"))


@pytest.mark.parametrize("sentence", VIEWS)
def test_views_are_no_chatter(sentence: str) -> None:
    assert not chats(sentence)
    assert without_chatter(sentence) == LEFT.get(sentence, sentence)


def test_nothing_that_was_written_for_values_is_chatter() -> None:
    taxonomy = Taxonomy.built_in()
    written = [row.fields["comment"] for row in read_table(WRITTEN, ("comment",)).rows]
    pairs = [text for slug in taxonomy for side in taxonomy.sentences(slug) for text in side]
    sentences = [sentence for text in (*written, *pairs) for sentence in split_sentences(text)]
    assert [one for one in sentences if without_chatter(one) != one] == []


@pytest.mark.parametrize("chatter", CHATTER)
def test_a_response_does_not_quote_chatter(chatter: str, small_taxonomy: Taxonomy) -> None:
    aggregator = ExtractiveAggregator(small_taxonomy, never)
    said = comment("thrift", f"{chatter} Dogs eat, and drones need repair.")
    (answer,) = aggregator.aggregate([case(comment("calm", f"{chatter} I’m here to help."), said, text=TOLD)])
    assert isinstance(answer, OvertonResponse)
    assert "The model says nothing of its own for calm." in answer.response
    assert answer.response.endswith("\nThrift: Dogs eat, and drones need repair.")


def test_where_there_is_nothing_else_chatter_is_quoted(small_taxonomy: Taxonomy) -> None:
    (answer,) = ExtractiveAggregator(small_taxonomy, never).aggregate(
        [case(comment("calm", "How can I help you?"), text=TOLD)]
    )
    assert isinstance(answer, OvertonResponse)
    assert "Calm: How can I help you?" in answer.response
