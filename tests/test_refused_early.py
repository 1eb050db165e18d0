"""What a server's command refuses before torch is loaded, and which sampling a request to a server may name."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from vispa.errors import InputError
from vispa.modes.checking import checked
from vispa.request import Request, Sampling
from vispa.serving.asking import sampling_of
from vispa.serving.schemas import SamplingBody
from vispa.serving.settings import ServerSettings
from vispa.study.value_use import Used
from vispa.taxonomy import Taxonomy

# What has been loaded when a command ends, and its exit code.
_IMPORTS = """
import sys
from vispa.cli import main
code = main._run()
print(sorted({'torch', 'transformers'} & set(sys.modules)), code)
"""


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A folder with files that a server cannot use."""
    answer = {"values": [{"value": "karma", "score": 0.5}]}
    (tmp_path / "none.jsonl").write_text("")
    (tmp_path / "few.jsonl").write_text(f"{json.dumps(answer)}\n" * 19)
    (tmp_path / "items.jsonl").write_text('{"text": "Feeding ducks"}\n')
    (tmp_path / "wrong.toml").write_text("comment = 'no place'\n")
    return tmp_path


@pytest.fixture(scope="module")
def taken() -> Iterator[str]:
    """A port at which something listens."""
    with closing(socket.create_server(("127.0.0.1", 0))) as other:
        yield str(other.getsockname()[1])


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--host", "0.0.0.0"), "there is no key"),
        (("--host", "::"), "there is no key"),
        (("--host", "no host"), "no name or address"),
        (("--port", "TAKEN"), "cannot be listened at"),
        (("--drift-reference", "few.jsonl"), "drift-reference: holds 19 answers. Give at least 20."),
        (("--drift-reference", "none.jsonl"), "drift-reference: holds 0 answers."),
        (("--drift-reference", "items.jsonl"), "items.jsonl line 1"),
        (("--drift-reference", "nowhere.jsonl"), "nowhere.jsonl"),
        (("--keys-file", "nowhere"), "nowhere"),
        (("--cors-origin", "*"), "--cors-origin: is '*'"),
        (("--recipe", "wrong.toml"), "wrong.toml"),
        (("--prompts", "wrong.toml"), "wrong.toml"),
        (("--weights", '{"karmaa": 1}'), "karmaa"),
    ],
)
def test_a_server_that_cannot_be_is_refused_before_anything_heavy_is_loaded(
    arguments: tuple[str, str], words: str, place: Path, taken: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("VISPA_API_KEYS", raising=False)
    given = ["serve", "--port", "0", *(taken if one == "TAKEN" else one for one in arguments)]
    # A server that starts all the same is ended.
    found = subprocess.run(
        [sys.executable, "-c", _IMPORTS, *given], capture_output=True, text=True, check=False, cwd=place, timeout=300
    )
    assert found.stdout == "[] 2\n" and words in found.stderr, found.stderr


@pytest.mark.parametrize("count", [0, 1, 19])
def test_a_reference_of_too_few_answers_is_no_reference(count: int) -> None:
    with pytest.raises(InputError, match=f"drift-reference: holds {count} answers"):
        ServerSettings(drift_reference=[(Used("karma", 0.5),)] * count)


GREEDY: tuple[dict[str, Any], ...] = ({}, {"temperature": 0.0}, {"seed": 3}, {"temperature": 0.0, "max_tokens": 9})


@pytest.mark.parametrize("own", GREEDY)
@pytest.mark.parametrize("also", [{}, {"temperature": None, "top_p": 0.5}, {"top_p": 1.0}])
def test_a_share_of_ones_own_wants_a_temperature(own: dict[str, Any], also: dict[str, Any]) -> None:
    with pytest.raises(InputError, match="top-p: has no effect at temperature 0"):
        sampling_of(SamplingBody(top_p=0.9, **own), 400, **also)
    assert sampling_of(SamplingBody(top_p=1.0, **own), 400, **also).effective().keys() == {"max_new_tokens"}


@pytest.mark.parametrize(
    ("own", "also", "expected"),
    [
        ({}, {"top_p": 0.9}, Sampling()),
        ({}, {"top_p": 0.9, "temperature": 0.0, "seed": 3}, Sampling(seed=3)),
        # The body's own field goes first, in what is left out too.
        ({"temperature": 0.0}, {"top_p": 0.9, "temperature": 1.0}, Sampling()),
        ({"temperature": 0.5}, {"top_p": 0.9, "temperature": 0.0}, Sampling(temperature=0.5, top_p=0.9)),
        ({"top_p": 0.8}, {"top_p": 0.9, "temperature": 1.0}, Sampling(temperature=1.0, top_p=0.8)),
        ({}, {"top_p": 0.9, "temperature": 1.0}, Sampling(temperature=1.0, top_p=0.9)),
    ],
)
def test_a_share_that_clients_send_is_left_out_without_a_temperature(
    own: dict[str, Any], also: dict[str, Any], expected: Sampling
) -> None:
    assert sampling_of(SamplingBody(**own), 400, **also) == expected


@pytest.mark.parametrize("mode", ["distributional", "steerable"])
def test_a_list_may_have_one_option_and_a_text_may_not(mode: Any) -> None:
    toward = "a right to rest" if mode == "steerable" else None
    found = checked(Request("Are you well?", mode=mode, toward=toward, options=["Yes"]), Taxonomy.built_in())
    assert found.options == ("Yes",)
    with pytest.raises(InputError, match=r"Write \| between them, or give a list"):
        Request("Are you well?", mode=mode, toward=toward, options="Yes")
