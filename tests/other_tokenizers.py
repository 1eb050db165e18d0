"""The same weights behind another tokenizer."""

from __future__ import annotations

from dataclasses import replace

from tokenizers import pre_tokenizers, processors

from vispa.models.loading import LoadedModel

#: In what it differs.
CHANGES = ("start token", "spaces")


def behind_another_tokenizer(llama: LoadedModel, change: str) -> LoadedModel:
    """The model with a tokenizer that differs in one of `CHANGES`."""
    raw = type(llama.tokenizer.backend_tokenizer).from_str(llama.tokenizer.backend_tokenizer.to_str())
    if change == "start token":
        raw.post_processor = processors.TemplateProcessing(single="$A", special_tokens=[])
    else:
        raw.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    names = {"bos_token": "<s>", "eos_token": "</s>", "pad_token": "<pad>"}
    other = replace(llama, tokenizer=type(llama.tokenizer)(tokenizer_object=raw, padding_side="left", **names))
    assert other.fingerprint == llama.fingerprint and other.tokenization.digest != llama.tokenization.digest
    return other
