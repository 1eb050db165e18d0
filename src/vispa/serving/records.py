"""What a call took, in the words of OpenAI's clients."""

from __future__ import annotations

from vispa.live.calls import Call


def usage(call: Call) -> dict[str, int]:
    """What a call took, in tokens, as OpenAI's clients read it."""
    total = call.prompt_tokens + call.generated_tokens
    return {"prompt_tokens": call.prompt_tokens, "completion_tokens": call.generated_tokens, "total_tokens": total}
