"""Tests that need vLLM, which has an environment of its own: `.ci/vllm` makes it and runs them."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from typing import TYPE_CHECKING

import pytest
from transformers import PreTrainedTokenizerFast

if TYPE_CHECKING:
    from pairs import Pair

# One thread, and no binding of this process to a core.
os.environ.setdefault("VLLM_CPU_OMP_THREADS_BIND", "nobind")
os.environ.setdefault("VLLM_LOGGING_LEVEL", "ERROR")
# Many engines in one process, each with little room for keys and values; on a GPU more is to be said, such as
# '{"attention_backend": "TRITON_ATTN", "gpu_memory_utilization": 0.1}'.
_FURTHER = json.loads(os.environ.get("VISPA_TEST_VLLM", "{}"))
os.environ["VISPA_VLLM"] = json.dumps({"kv_cache_memory_bytes": 67108864} | _FURTHER)

REASON = "needs vLLM, which .ci/vllm installs in an environment of its own"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if find_spec("vllm") is None:
        for item in items:
            if "with_vllm" in item.path.parts:
                item.add_marker(pytest.mark.skip(reason=REASON))


@pytest.fixture(scope="session", autouse=True)
def groups() -> Iterator[None]:
    """Engines of one process share its groups, which the first one that is collected would take from all others."""
    if find_spec("vllm") is None:
        yield
        return
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("vllm.v1.engine.core.cleanup_dist_env_and_memory", lambda: None)
        yield


@pytest.fixture(scope="session")
def make_pair(tokenizer: PreTrainedTokenizerFast, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Pair]:
    from pairs import made_pair

    made: dict[tuple[str, str], Pair] = {}

    def make(kind: str = "llama", **arguments: object) -> Pair:
        key = (kind, json.dumps(arguments, sort_keys=True))
        if key not in made:
            made[key] = made_pair(kind, tokenizer, tmp_path_factory.mktemp(kind), **arguments)
        return made[key]

    return make


@pytest.fixture
def pair(make_pair: Callable[..., Pair]) -> Pair:
    """With short chunks and short blocks of the cache."""
    return make_pair("llama", max_num_batched_tokens=96, block_size=32)
