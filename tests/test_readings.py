"""Readings of a sentence's activations, attention sinks left out."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from other_tokenizers import behind_another_tokenizer

from vispa.errors import NumericalError, TextError
from vispa.models.loading import LoadedModel
from vispa.steering.activations import hooks_on, read_activations
from vispa.steering.readings import READINGS, Reading, content_tokens, sink_free_mean, token_mean


def sentences(lengths: list[int], width: int = 6, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    torch.manual_seed(seed)
    mask = torch.arange(max(lengths))[None] < torch.tensor(lengths)[:, None]
    return torch.randn(len(lengths), max(lengths), width), mask


def test_readings_equal_a_slow_reference() -> None:
    lengths = [1, 2, 5, 9]
    hidden, mask = sentences(lengths)
    hidden[3, 4] *= 500  # a second sink, in mid-sentence
    for row, length in enumerate(lengths):
        tokens = [hidden[row, place] for place in range(length)]
        content = [token for place, token in enumerate(tokens[1:], 1) if (row, place) != (3, 4)] or tokens
        expected = {
            "last": tokens[-1],
            "mean": sum(tokens, torch.zeros(6)) / length,
            "sink_free_mean": sum(content, torch.zeros(6)) / len(content),
        }
        for name, read in READINGS.items():
            assert torch.allclose(read(hidden, mask)[row], expected[name], atol=1e-5), (name, row)


@pytest.mark.parametrize("size", [11.0, 200.0, 1e4])
def test_a_sink_does_not_move_the_reading(size: float) -> None:
    hidden, mask = sentences([7, 4])
    before = sink_free_mean(hidden, mask)
    moved = hidden.clone()
    moved[:, 0] *= size
    assert torch.equal(sink_free_mean(moved, mask), before)
    assert not torch.allclose(token_mean(moved, mask), token_mean(hidden, mask), atol=0.1)


def test_padding_and_neighbours_change_nothing() -> None:
    hidden, mask = sentences([6, 3])
    alone = content_tokens(hidden[1:, :3].norm(dim=-1), mask[1:, :3])
    together = content_tokens(hidden.norm(dim=-1), mask)
    assert torch.equal(together[1:, :3], alone)
    assert not together[1, 3:].any()


def test_a_model_with_an_artificial_sink(llama: LoadedModel) -> None:
    texts = ["A short one.", "Another sentence, of more words than the first.", "Third."]
    plain = read_activations(llama, texts, readings=("mean", "sink_free_mean", "last"))

    def sink(_module: object, _inputs: object, output: torch.Tensor) -> torch.Tensor:
        changed = output.clone()
        changed[:, 0] += 1e4
        return changed

    handle = llama.blocks[-1].register_forward_hook(sink)
    try:
        sunk = read_activations(llama, texts, readings=("mean", "sink_free_mean", "last"))
    finally:
        handle.remove()
    assert torch.equal(sunk["sink_free_mean"], plain["sink_free_mean"])
    assert torch.equal(sunk["last"], plain["last"])
    assert ((sunk["mean"] - plain["mean"])[:, -1].norm(dim=-1) > 100).all()


@pytest.mark.parametrize("kind", ["llama", "gpt2", "olmo_hybrid"])
@pytest.mark.parametrize("blocks", [(1,), (0, 2), (3,), (0, 1, 2, 3)])
def test_some_blocks_are_read_as_among_all_and_none_runs_beyond(
    kind: str, blocks: tuple[int, ...], make_model: Callable[..., LoadedModel]
) -> None:
    loaded = make_model(kind)
    texts = ["A stone.", "She sold the old house to a stranger", "No"]
    whole = read_activations(loaded, texts, readings=("last", "mean"))
    ran: list[int] = []
    with hooks_on(loaded.blocks, lambda block, _hidden: ran.append(block)):
        some = read_activations(loaded, texts, readings=("last", "mean"), blocks=blocks)
    assert ran == list(range(blocks[-1] + 1))
    for reading, states in some.items():
        assert torch.equal(states, whole[reading][:, list(blocks)])
    assert not any(block._forward_hooks for block in loaded.blocks)


def test_an_activation_that_is_not_finite_names_its_block_among_some(make_model: Callable[..., LoadedModel]) -> None:
    broken = make_model("llama")
    broken.blocks[2].mlp.down_proj.weight.data.fill_(float("nan"))
    assert torch.isfinite(read_activations(broken, ["A stone."], blocks=(0, 1))["last"]).all()
    with pytest.raises(NumericalError, match="after block 2"):
        read_activations(broken, ["A stone."], blocks=(1, 2, 3))


# ---------------------------------------------------------------- a real model


def test_the_sink_of_smollm2(smollm2: LoadedModel) -> None:
    loaded = smollm2
    texts = [
        "I told my brother the truth although it cost me the job.",
        "The harbour was quiet in the morning.",
        "Nobody may take what belongs to all of us.",
        "She laughed.",
    ]
    block = len(loaded.blocks) // 2
    read = read_activations(loaded, texts, readings=("mean", "sink_free_mean"), blocks=(block,))
    for row, text in enumerate(texts):
        ids = torch.tensor([loaded.tokenizer(text).input_ids])
        with torch.inference_mode():
            # Entry 0 is what goes into the first block.
            hidden = loaded.model(ids, output_hidden_states=True).hidden_states[block + 1][0]
        norms = hidden.norm(dim=-1)
        assert norms[0] > 10 * norms[1:].median()
        assert torch.allclose(read["sink_free_mean"][row, 0], hidden[1:].mean(0), rtol=1e-3, atol=1e-2)
    # With it all texts are one; without it they are told apart.
    likeness = {name: torch.nn.functional.normalize(one[:, 0], dim=-1) for name, one in read.items()}
    cosines = {name: (one @ one.T)[~torch.eye(len(texts), dtype=torch.bool)] for name, one in likeness.items()}
    assert cosines["mean"].min() > 0.95 > cosines["sink_free_mean"].max()


@pytest.mark.parametrize("reading", READINGS)
@pytest.mark.parametrize("place", [0, 1])
def test_a_text_without_a_token_is_told(llama: LoadedModel, reading: Reading, place: int) -> None:
    """As tokenizers without a start token make of a script that they do not know."""
    texts = ["She stayed."] * 2
    texts[place] = ""
    with pytest.raises(TextError, match="makes no token of ''"):
        read_activations(behind_another_tokenizer(llama, "start token"), texts, readings=(reading,))
