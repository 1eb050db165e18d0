"""The embedded model's tokenizer: byte-level BPE trained on the corpus."""

from __future__ import annotations

from collections.abc import Iterator

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

from training.corpus import Document, Grammar

BOS, EOS, PAD, UNK = "<s>", "</s>", "<pad>", "<unk>"

# The user's message becomes a comment prompt; multiple-choice questions go in raw.
CHAT_TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}{% if message['role'] != 'system' %}"
    "{{ message['content'] }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}{{ '\\nComment:' }}{% endif %}"
)


def document_text(document: Document) -> str:
    """A document as one string; segments are separated as `batches.py` expects."""
    head = " ".join(document.before) + "\n" if document.before else ""
    return f"{head}{document.prompt} {document.answer}"


def train_tokenizer(grammar: Grammar, *, documents: int, vocabulary: int) -> PreTrainedTokenizerFast:
    """Train on the corpus's first `documents` documents.

    A leading space is put before the first word, so that a sentence has the same tokens at the
    start of a text and inside it.
    """
    tokenizer = Tokenizer(models.BPE(unk_token=None))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    tokenizer.decoder = decoders.ByteLevel()

    def texts() -> Iterator[str]:
        return (document_text(grammar.document(number)) for number in range(documents))

    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=[PAD, BOS, EOS],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts(), trainer)
    bos_id = tokenizer.token_to_id(BOS)
    tokenizer.post_processor = processors.Sequence(
        [
            processors.ByteLevel(trim_offsets=True),
            processors.TemplateProcessing(single=f"{BOS} $A", special_tokens=[(BOS, bos_id)]),
        ]
    )
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token=BOS,
        eos_token=EOS,
        pad_token=PAD,
        padding_side="left",
        model_max_length=1024,
        clean_up_tokenization_spaces=False,
    )
    fast.chat_template = CHAT_TEMPLATE
    return fast
