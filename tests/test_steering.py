"""Steering against slow references: one block at a time, one prompt at a time."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split

from vispa.errors import InputError, NumericalError
from vispa.generation.engine import generate
from vispa.generation.rows import Row, Sampling
from vispa.models.loading import LoadedModel
from vispa.steering.activations import read_activations
from vispa.steering.bank import VectorBank
from vispa.steering.calibration import target_logit
from vispa.steering.fitting import fit_bank
from vispa.steering.intervention import SteeringPlan, steering
from vispa.steering.recipe import Recipe
from vispa.taxonomy import Taxonomy

PROMPTS = ["Is it fair?", "Should I sell the old family house to a stranger", "Yes.", "A walk in the rain, alone"]
CALIBRATED = Recipe("probe", blocks=(1, 2, 3), magnitude="calibrated", amount=0.95, minimal_quality=0.0)


@pytest.fixture(scope="module")
def bank(llama: LoadedModel, small_taxonomy: Taxonomy) -> VectorBank:
    return fit_bank(llama, small_taxonomy)


# ---------------------------------------------------------------- slow references


def reference_states(loaded: LoadedModel, text: str, shifts: dict[int, torch.Tensor]) -> list[torch.Tensor]:
    """Output of every block [T, H] for one unpadded prompt, with shifts added at all positions."""
    handles = []
    states: list[torch.Tensor] = []
    for number, block in enumerate(loaded.blocks):

        def hook(_m: object, _i: object, output: object, number: int = number) -> object:
            hidden = output[0] if isinstance(output, tuple) else output
            if number in shifts:
                hidden = hidden + shifts[number]
            states.append(hidden[0])
            return (hidden, *output[1:]) if isinstance(output, tuple) else hidden

        handles.append(block.register_forward_hook(hook))
    with torch.no_grad():
        loaded.model(torch.tensor([loaded.tokenizer(text)["input_ids"]]))
    for handle in handles:
        handle.remove()
    return states


def reference_calibration(loaded: LoadedModel, text: str, plan: SteeringPlan, value: str) -> dict[int, torch.Tensor]:
    """The published procedure: one forward pass for each block, lower blocks already steered."""
    row = plan.values.index(value)
    shifts: dict[int, torch.Tensor] = {}
    for block in sorted(plan.blocks):
        spec = plan.blocks[block]
        hidden = reference_states(loaded, text, shifts)[block][-1]
        weight = spec.direction[row] * spec.weight_norm[row]
        epsilon = (spec.logit[row] - spec.bias[row] - weight @ hidden) / weight.norm()
        shifts[block] = max(0.0, float(epsilon)) * spec.direction[row]
    return shifts


def reference_greedy(loaded: LoadedModel, text: str, shifts: dict[int, torch.Tensor], count: int) -> list[int]:
    """Greedy decoding without cache or batch."""
    ids = list(loaded.tokenizer(text)["input_ids"])
    new: list[int] = []
    for _ in range(count):
        handles = [
            block.register_forward_hook(
                lambda _m, _i, out, n=n: (out[0] + shifts[n], *out[1:]) if isinstance(out, tuple) else out + shifts[n]
            )
            for n, block in enumerate(loaded.blocks)
            if n in shifts
        ]
        with torch.no_grad():
            token = int(loaded.model(torch.tensor([ids])).logits[0, -1].argmax())
        for handle in handles:
            handle.remove()
        ids.append(token)
        new.append(token)
        if token == loaded.tokenizer.eos_token_id:
            break
    return new


# ---------------------------------------------------------------- activations


def test_activations_equal_one_text_at_a_time(llama: LoadedModel) -> None:
    found = read_activations(llama, PROMPTS, readings=("last", "mean"))
    for number, text in enumerate(PROMPTS):
        states = reference_states(llama, text, {})
        for block, state in enumerate(states):
            torch.testing.assert_close(found["last"][number, block], state[-1], atol=1e-4, rtol=1e-4)
            torch.testing.assert_close(found["mean"][number, block], state.mean(0), atol=1e-4, rtol=1e-4)


def test_activations_cut_long_texts(llama: LoadedModel) -> None:
    long, short = "word " * 200, ("word " * 200)[:31]
    found = read_activations(llama, [long], max_tokens=32)["last"]
    torch.testing.assert_close(found, read_activations(llama, [short])["last"], atol=1e-4, rtol=1e-4)


def test_activations_refuse_nan(make_model: Callable[..., LoadedModel]) -> None:
    broken = make_model("llama")
    broken.blocks[2].mlp.down_proj.weight.data.fill_(float("nan"))
    with pytest.raises(NumericalError, match="after block 2"):
        read_activations(broken, ["some text"])


# ---------------------------------------------------------------- directions


def test_probe_equals_scikit_learn(llama: LoadedModel, small_taxonomy: Taxonomy, bank: VectorBank) -> None:
    directions = bank.entries["probe"].directions
    for row, slug in enumerate(small_taxonomy):
        positive, negative = small_taxonomy.sentences(slug)
        states = read_activations(llama, [*positive, *negative])["last"].double().numpy()
        labels = np.array([1] * len(positive) + [0] * len(negative))
        train, test = train_test_split(np.arange(len(labels)), test_size=0.3, random_state=0, stratify=labels)
        for block in range(len(llama.blocks)):
            model = LogisticRegression(max_iter=5000).fit(states[train, block], labels[train])
            weight = model.coef_[0]
            cosine = weight @ directions.vectors[row, block].numpy() / np.linalg.norm(weight)
            assert cosine > 1 - 1e-5
            assert directions.quality[row, block] == pytest.approx(model.score(states[test, block], labels[test]))


def test_one_versus_others_equals_loop(llama: LoadedModel, small_taxonomy: Taxonomy, bank: VectorBank) -> None:
    means = {
        slug: read_activations(llama, small_taxonomy.sentences(slug)[0], readings=("mean",))["mean"].mean(0)
        for slug in small_taxonomy
    }
    overall = sum(means.values()) / len(means)
    for row, slug in enumerate(small_taxonomy):
        expected = means[slug] - overall
        torch.testing.assert_close(
            bank.entries["one_versus_others"].directions.vectors[row], expected, atol=1e-4, rtol=1e-4
        )


# ---------------------------------------------------------------- calibration in one pass


@pytest.mark.parametrize("kind", ["llama", "mistral", "qwen2", "qwen3", "gemma2", "gemma3_text", "phi3", "olmo2"])
def test_one_pass_calibration_equals_block_by_block(
    kind: str, make_model: Callable[..., LoadedModel], small_taxonomy: Taxonomy
) -> None:
    loaded = make_model(kind, **({"head_dim": 8} if "gemma" in kind or kind == "qwen3" else {}))
    plan = fit_bank(loaded, small_taxonomy).plan(small_taxonomy, CALIBRATED)
    values = ["calm", "thrift", "candor", "calm"]
    rows = [Row(prompt, value) for prompt, value in zip(PROMPTS, values, strict=True)]
    together = generate(loaded, rows, Sampling(12), plan)
    assert any(shift > 0 for text in together for shift in text.shift.values())
    for row, batched in zip(rows, together, strict=True):
        shifts = reference_calibration(loaded, row.prompt, plan, row.value or "")
        alone = generate(loaded, [row], Sampling(12), plan)[0]
        for block, shift in shifts.items():
            assert abs(batched.shift[block] - float(shift.norm())) <= 1e-4
            assert abs(alone.shift[block] - float(shift.norm())) <= 1e-4
        expected = loaded.tokenizer.decode(
            reference_greedy(loaded, row.prompt, shifts, 12), skip_special_tokens=True
        ).strip()
        assert batched.text == alone.text == expected


def test_calibration_reaches_the_target(llama: LoadedModel, bank: VectorBank) -> None:
    """Where a shift was needed, the probe at that block ends exactly at P0."""
    recipe = Recipe("probe", blocks=(2,), magnitude="calibrated", amount=0.97, minimal_quality=0.0)
    plan = bank.plan(["candor"], recipe)
    spec = plan.blocks[2]
    for prompt in PROMPTS:
        shifts = reference_calibration(llama, prompt, plan, "candor")
        hidden = reference_states(llama, prompt, shifts)[2][-1]
        logit = float(spec.weight_norm[0] * (spec.direction[0] @ hidden) + spec.bias[0])
        if shifts[2].norm() > 0:
            assert logit == pytest.approx(target_logit(0.97), abs=1e-3)
        else:
            assert logit >= target_logit(0.97) - 1e-3


def test_target_must_be_a_probability() -> None:
    for target in (0.0, 1.0, -1.0, 2.0):
        with pytest.raises(InputError, match="target"):
            target_logit(target)


# ---------------------------------------------------------------- rows and hooks


def test_unsteered_rows_give_the_plain_tokens(llama: LoadedModel, bank: VectorBank) -> None:
    plan = bank.plan(["calm"], Recipe("one_versus_others", (1, 2), "coefficient", 30.0, 0.0))
    mixed = [Row(PROMPTS[0], "calm"), Row(PROMPTS[1]), Row(PROMPTS[3], "calm"), Row(PROMPTS[1])]
    texts = generate(llama, mixed, Sampling(16), plan)
    plain = generate(llama, [Row(row.prompt) for row in mixed], Sampling(16))
    assert texts[1].text == texts[3].text == plain[1].text
    assert texts[1].shift == {}
    assert texts[0].text != plain[0].text


def test_zero_magnitude_gives_the_plain_tokens(llama: LoadedModel, bank: VectorBank) -> None:
    plan = bank.plan(["calm"], Recipe("one_versus_others", (1, 2), "coefficient", 0.0, 0.0))
    steered = generate(llama, [Row(p, "calm") for p in PROMPTS], Sampling(16), plan)
    plain = generate(llama, [Row(p) for p in PROMPTS], Sampling(16))
    assert [t.text for t in steered] == [t.text for t in plain]


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_hooks_come_off_after_an_exception(llama: LoadedModel, bank: VectorBank, error: type[BaseException]) -> None:
    plan = bank.plan(["calm"], Recipe("one_versus_others", (1, 2), "coefficient", 9.0, 0.0))
    ids = torch.tensor([llama.tokenizer(PROMPTS[1])["input_ids"]])
    with torch.no_grad():
        before = llama.model(ids).logits
        with pytest.raises(error), steering(llama, plan, ["calm"]):
            steered = llama.model(ids).logits
            raise error
        after = llama.model(ids).logits
    assert not torch.equal(before, steered)
    assert torch.equal(before, after)
    assert not any(block._forward_hooks for block in llama.blocks)


def test_infinite_shift_names_row_value_and_block(llama: LoadedModel, bank: VectorBank) -> None:
    plan = bank.plan(["calm", "thrift"], Recipe("one_versus_others", (1,), "coefficient", 1.0, 0.0))
    plan.blocks[1].direction[1].fill_(float("inf"))
    with pytest.raises(NumericalError, match="row 1 toward thrift after block 1"):
        generate(llama, [Row("a", "calm"), Row("b", "thrift")], Sampling(2), plan)


def test_sampled_texts_do_not_depend_on_the_batch(llama: LoadedModel) -> None:
    sampling = Sampling(12, temperature=1.0)
    rows = [Row(prompt, seed=seed) for seed, prompt in enumerate(PROMPTS)]
    together = [text.text for text in generate(llama, rows, sampling)]
    assert together == [generate(llama, [row], sampling)[0].text for row in rows]


# ---------------------------------------------------------------- recipes


def test_published_range_of_blocks() -> None:
    assert Recipe().chosen_blocks(32) == tuple(range(10, 26))


def test_unknown_block_is_refused() -> None:
    with pytest.raises(InputError, match="Blocks are 0 to 3"):
        Recipe(blocks=(4,)).chosen_blocks(4)


def test_blocks_that_do_not_separate_are_left_out(llama: LoadedModel, bank: VectorBank) -> None:
    strict = Recipe("probe", (1, 2), "calibrated", 0.99, minimal_quality=1.01)
    text = generate(llama, [Row(PROMPTS[0], "calm")], Sampling(4), bank.plan(["calm"], strict))[0]
    assert set(text.shift.values()) == {0.0}
