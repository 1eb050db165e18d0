"""How many tokens a model reads."""

from __future__ import annotations

from transformers import PreTrainedConfig

from vispa.errors import ContextError
from vispa.models.loading import LoadedModel

# The names that architectures give it; the first that a configuration has counts.
_NAMES = ("max_position_embeddings", "n_positions", "n_ctx", "max_seq_len", "seq_length")


def context_length(config: PreTrainedConfig) -> int | None:
    """Most tokens of prompt and answer together; None where a model has no such limit."""
    text = config.get_text_config()
    found = next((getattr(text, name) for name in _NAMES if getattr(text, name, None) is not None), None)
    return int(found) if isinstance(found, int) and found > 0 else None


def check_context(loaded: LoadedModel, tokens: int, new_tokens: int = 0) -> None:
    """Refuse a prompt that the model cannot read to its end, its answer included.

    Args:
        loaded: the model.
        tokens: of the prompt.
        new_tokens: longest answer.

    Raises:
        ContextError: prompt and answer are longer than the model's context.
    """
    limit = context_length(loaded.model.config)
    if limit is None or tokens + new_tokens <= limit:
        return
    if new_tokens:
        problem = f"has {tokens:,} tokens as a prompt, which with {new_tokens:,} for the answer is more than"
        advice = "Give a shorter text, fewer max-new-tokens, or another model."
    else:
        problem, advice = f"has {tokens:,} tokens as a prompt, more than", "Give a shorter text, or another model."
    raise ContextError(f"The text {problem} the {limit:,} of the model's context. {advice}")
