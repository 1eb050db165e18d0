"""Steering against slow references: one block at a time, one prompt at a time."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from engines import generate

from vispa.errors import InputError, NumericalError
from vispa.generation.cache import kept_in, new_cache
from vispa.generation.rows import Row, Sampling
from vispa.generation.transformers import TransformersEngine
from vispa.models.encoding import raw_prompt
from vispa.models.loading import LoadedModel
from vispa.steering.activations import hooks_on, read_activations
from vispa.steering.bank import VectorBank
from vispa.steering.fitting import fit_bank
from vispa.steering.intervention import steering
from vispa.steering.magnitudes.calibrated import target_logit
from vispa.steering.plan import SteeringPlan
from vispa.steering.recipe import Recipe, Steer
from vispa.taxonomy import Taxonomy

PROMPTS = ["Is it fair?", "Should I sell the old family house to a stranger", "Yes.", "A walk in the rain, alone"]
CALIBRATED = Recipe("probe", blocks=(1, 2, 3), magnitude="calibrated", amount=0.95, minimal_quality=0.0)


def coefficient(amount: float, **options: object) -> Recipe:
    """A fixed multiple of the one-versus-others vectors, whatever their quality."""
    settings = {"blocks": (1, 2), "minimal_quality": 0.0, **options}
    return Recipe("one_versus_others", magnitude="coefficient", amount=amount, **settings)


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
    row = [key[0] for key in plan.keys].index(value)
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


# ---------------------------------------------------------------- calibration in one pass


@pytest.mark.parametrize(
    "kind",
    [
        *("llama", "mistral", "qwen2", "qwen3", "gemma2", "gemma3_text", "phi3", "olmo2"),
        *("gpt_neox", "gpt2", "falcon", "mixtral", "qwen2_moe"),
    ],
)
def test_one_pass_calibration_equals_block_by_block(
    kind: str, make_model: Callable[..., LoadedModel], small_taxonomy: Taxonomy
) -> None:
    # Smaller weights where the default ones give activations of which 1e-4 is below float32's resolution.
    options = {"initializer_range": 0.1} if "moe" in kind else {}
    loaded = make_model(kind, **options, **({"head_dim": 8} if "gemma" in kind or kind == "qwen3" else {}))
    bank = fit_bank(loaded, small_taxonomy)
    plan = bank.plan(small_taxonomy, CALIBRATED)
    values = ["calm", "thrift", "candor", "calm"]
    rows = [Row(raw_prompt(loaded, prompt), (Steer(value),)) for prompt, value in zip(PROMPTS, values, strict=True)]
    together = generate(loaded, rows, Sampling(12), bank, CALIBRATED)
    assert any(shift > 0 for text in together for shift in text.shift.values())
    for row, batched in zip(rows, together, strict=True):
        shifts = reference_calibration(loaded, row.prompt.text, plan, row.steers[0].value)
        alone = generate(loaded, [row], Sampling(12), bank, CALIBRATED)[0]
        for block, shift in shifts.items():
            assert abs(batched.shift[block] - float(shift.norm())) <= 1e-4
            assert abs(alone.shift[block] - float(shift.norm())) <= 1e-4
        expected = loaded.tokenizer.decode(
            reference_greedy(loaded, row.prompt.text, shifts, 12), skip_special_tokens=True
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
    mixed = [
        Row(raw_prompt(llama, PROMPTS[0]), (Steer("calm"),)),
        Row(raw_prompt(llama, PROMPTS[1])),
        Row(raw_prompt(llama, PROMPTS[3]), (Steer("calm"),)),
        Row(raw_prompt(llama, PROMPTS[1])),
    ]
    texts = generate(llama, mixed, Sampling(16), bank, coefficient(30.0))
    plain = generate(llama, [Row(row.prompt) for row in mixed], Sampling(16))
    assert texts[1].text == texts[3].text == plain[1].text
    assert texts[1].shift == {}
    assert texts[0].text != plain[0].text


def test_zero_magnitude_gives_the_plain_tokens(llama: LoadedModel, bank: VectorBank) -> None:
    rows = [Row(raw_prompt(llama, p), (Steer("calm"),)) for p in PROMPTS]
    steered = generate(llama, rows, Sampling(16), bank, coefficient(0.0))
    plain = generate(llama, [Row(raw_prompt(llama, p)) for p in PROMPTS], Sampling(16))
    assert [t.text for t in steered] == [t.text for t in plain]


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_hooks_come_off_after_an_exception(llama: LoadedModel, bank: VectorBank, error: type[BaseException]) -> None:
    plan = bank.plan(["calm"], coefficient(9.0))
    ids = torch.tensor([llama.tokenizer(PROMPTS[1])["input_ids"]])
    # transformers leaves hooks of its own on a model that was once asked for its hidden states.
    hooks = [list(block._forward_hooks) for block in llama.blocks]
    with torch.no_grad():
        before = llama.model(ids).logits
        with pytest.raises(error), steering(llama, plan, [[Steer("calm")]]):
            steered = llama.model(ids).logits
            raise error
        after = llama.model(ids).logits
    assert not torch.equal(before, steered)
    assert torch.equal(before, after)
    assert [list(block._forward_hooks) for block in llama.blocks] == hooks


def test_infinite_shift_names_row_value_and_block(
    llama: LoadedModel, bank: VectorBank, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = bank.plan(["calm", "thrift"], coefficient(1.0, blocks=(1,)))
    plan.blocks[1].direction[1].fill_(float("inf"))
    monkeypatch.setattr(TransformersEngine, "plan", lambda self, rows: plan)
    with pytest.raises(NumericalError, match=r"row 1 \(toward thrift\) after block 1"):
        generate(
            llama,
            [Row(raw_prompt(llama, "a"), (Steer("calm"),)), Row(raw_prompt(llama, "b"), (Steer("thrift"),))],
            Sampling(2),
            bank,
            coefficient(1.0, blocks=(1,)),
        )


def test_sampled_texts_do_not_depend_on_the_batch(llama: LoadedModel) -> None:
    sampling = Sampling(12, temperature=1.0)
    rows = [Row(raw_prompt(llama, prompt), seed=seed) for seed, prompt in enumerate(PROMPTS)]
    together = [text.text for text in generate(llama, rows, sampling)]
    assert together == [generate(llama, [row], sampling)[0].text for row in rows]


# ---------------------------------------------------------------- magnitudes, scopes, gate, several steers


@torch.inference_mode()
def states_under(loaded: LoadedModel, bank: VectorBank, prompt: str, steers: tuple[Steer, ...], **options: bool):
    """Hidden states [T, H] after every block of a prompt under steering, then those of one more token."""
    ids = torch.tensor([loaded.tokenizer(prompt)["input_ids"]])
    states: list[torch.Tensor] = []
    with (
        steering(loaded, bank.plan(steers), [steers], orthogonal=[options.get("orthogonal", False)]) as active,
        hooks_on(loaded.blocks, lambda _block, hidden: states.append(hidden[0].clone())),
    ):
        kept = kept_in(loaded.model, new_cache(loaded.model.config))
        loaded.model(ids, **kept)
        loaded.model(torch.tensor([[5]]), **kept)
    count = len(loaded.blocks)
    return states[:count], states[count:], active


def added(loaded: LoadedModel, bank: VectorBank, steers: tuple[Steer, ...], **options: bool):
    """What steering adds after block 0 at each prompt position [T, H] and at the generated one [1, H].

    Block 0 reads the embeddings alone, so that its cache is that of the plain model.
    """
    prompt, generated, _ = states_under(loaded, bank, PROMPTS[0], steers, **options)
    plain_prompt, plain_generated, _ = states_under(loaded, bank, PROMPTS[0], ())
    return prompt[0] - plain_prompt[0], generated[0] - plain_generated[0]


@pytest.mark.parametrize("scope", ["all", "prompt", "generated", "last"])
def test_scopes_shift_the_positions_they_name(llama: LoadedModel, bank: VectorBank, scope: str) -> None:
    recipe = coefficient(3.0, blocks=(0,), scope=scope)
    prompt, generated = added(llama, bank, (Steer("calm", recipe=recipe),))
    vector = 3.0 * bank.entries["one_versus_others"].directions.vectors[0, 0]
    zero = torch.zeros_like(vector)
    torch.testing.assert_close(prompt[0], vector if scope in ("all", "prompt") else zero, atol=1e-4, rtol=1e-3)
    torch.testing.assert_close(prompt[-1], vector if scope != "generated" else zero, atol=1e-4, rtol=1e-3)
    expected = vector if scope != "prompt" else zero
    torch.testing.assert_close(generated[0], expected, atol=1e-4, rtol=1e-3)


def test_several_steers_add_up_with_weights(llama: LoadedModel, bank: VectorBank) -> None:
    one, two = (
        coefficient(2.0, blocks=(0,)),
        Recipe("mean_difference", (0,), magnitude="coefficient", amount=-1.0, minimal_quality=0.0),
    )
    steers = (Steer("calm", 0.5, one), Steer("thrift", 2.0, two))
    prompt, _ = added(llama, bank, steers)
    first = bank.entries["one_versus_others"].directions.vectors[0, 0]
    second = -2.0 * bank.entries["mean_difference"].directions.vectors[1, 0]
    torch.testing.assert_close(prompt[2], first + second, atol=1e-4, rtol=1e-3)
    prompt, _ = added(llama, bank, steers, orthogonal=True)
    second = second - (second @ first) / (first @ first) * first
    torch.testing.assert_close(prompt[2], first + second, atol=1e-4, rtol=1e-3)


def test_residual_magnitude_and_cap(llama: LoadedModel, bank: VectorBank) -> None:
    norm = float(bank.residual_norm[1])
    for recipe, expected in (
        (Recipe("mean_difference", (1,), magnitude="residual", amount=0.4, minimal_quality=0.0), 0.4 * norm),
        (
            Recipe("mean_difference", (1,), magnitude="coefficient", amount=1e6, cap=0.3, minimal_quality=0.0),
            0.3 * norm,
        ),
        (Recipe("probe", (1,), amount=1 - 1e-12, cap=0.2, minimal_quality=0.0), 0.2 * norm),
    ):
        _, _, active = states_under(llama, bank, PROMPTS[1], (Steer("thrift", recipe=recipe),))
        assert float(active.amounts[1][0]) == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("weight", [1.0, -0.5])
@pytest.mark.parametrize("amount", [1e3, 1e30, 1e37, 3e38, 1e39, -1e3, -3e38, -1e39])
@pytest.mark.parametrize("estimator", ["one_versus_others", "mean_difference"])
def test_a_cap_holds_whatever_the_amount(
    llama: LoadedModel, bank: VectorBank, estimator: str, amount: float, weight: float
) -> None:
    """Up to float32's last number and beyond it, where the length of the uncapped shift is no number."""
    recipe = Recipe(estimator, (1,), magnitude="coefficient", amount=amount, cap=0.3, minimal_quality=0.0)
    _, _, active = states_under(llama, bank, PROMPTS[1], (Steer("thrift", weight, recipe),))
    expected = 0.3 * float(bank.residual_norm[1]) * math.copysign(weight, weight * amount)
    assert float(active.amounts[1][0]) == pytest.approx(expected, rel=1e-4)


def test_a_cap_that_is_not_reached_changes_no_bit(llama: LoadedModel, bank: VectorBank) -> None:
    found = [
        states_under(llama, bank, PROMPTS[1], (Steer("thrift", recipe=coefficient(0.37, cap=cap)),))
        for cap in (None, 1e9)
    ]
    for plain, capped in zip(*(prompt + generated for prompt, generated, _ in found), strict=True):
        assert torch.equal(plain, capped)


def test_an_amount_beyond_all_numbers_without_a_cap_is_refused(llama: LoadedModel, bank: VectorBank) -> None:
    with pytest.raises(NumericalError, match=r"toward thrift\) after block 1 is not finite"):
        states_under(llama, bank, PROMPTS[1], (Steer("thrift", recipe=coefficient(1e39, blocks=(1,))),))


def test_both_ways_also_pushes_down(llama: LoadedModel, bank: VectorBank) -> None:
    for amount in (1e-4, 1 - 1e-4):
        recipe = Recipe("probe", (2,), amount=amount, both_ways=True, minimal_quality=0.0)
        states, _, active = states_under(llama, bank, PROMPTS[1], (Steer("calm", recipe=recipe),))
        spec = bank.plan([Steer("calm", recipe=recipe)]).blocks[2]
        logit = float(spec.weight_norm[0] * (spec.direction[0] @ states[2][-1]) + spec.bias[0])
        assert logit == pytest.approx(target_logit(amount), abs=2e-2)
        assert (float(active.amounts[2][0]) > 0) == (amount > 0.5)


def test_gate_leaves_expressed_values_alone(llama: LoadedModel, bank: VectorBank) -> None:
    """Closed exactly where the probe at the lowest steered block is at the gate already."""
    directions = bank.entries["probe"].directions
    probabilities = []
    for prompt in PROMPTS:
        hidden = reference_states(llama, prompt, {})[1][-1]
        logit = directions.weight_norm[0, 1] * (directions.vectors[0, 1] @ hidden) + directions.bias[0, 1]
        probabilities.append(float(logit.sigmoid()))
    gate = sorted(probabilities)[2] - 1e-6
    rows = [
        Row(raw_prompt(llama, p), (Steer("calm", recipe=coefficient(5.0, blocks=(1, 2), gate=gate)),)) for p in PROMPTS
    ]
    texts = generate(llama, rows, Sampling(3), bank)
    for text, probability in zip(texts, probabilities, strict=True):
        assert all((shift == 0) == (probability >= gate) for shift in text.shift.values())
    assert {p >= gate for p in probabilities} == {True, False}


def test_rows_of_many_kinds_share_a_batch(llama: LoadedModel, bank: VectorBank) -> None:
    """Every row with its own value, estimator, magnitude and scope gives the text it gives alone."""
    recipes = [
        Recipe("probe", (1, 2), amount=0.999, minimal_quality=0.0),
        Recipe("projection", (2, 3), magnitude="residual", amount=0.5, scope="generated", minimal_quality=0.0),
        coefficient(4.0, scope="prompt"),
        Recipe("mean_difference", (0,), magnitude="coefficient", table="alpha", minimal_quality=0.0),
        Recipe("probe_mean_difference", (3,), magnitude="coefficient", amount=2.0, scope="last", minimal_quality=0.0),
    ]
    values = ["calm", "thrift", "candor"]
    rows = [
        Row(
            raw_prompt(llama, PROMPTS[i % 4]),
            tuple(Steer(values[(i + j) % 3], 1.0, recipes[(i + j) % 5]) for j in range(i % 3)),
            seed=i,
        )
        for i in range(12)
    ]
    for sampling in (Sampling(10), Sampling(10, temperature=0.8, top_p=0.9)):
        together = generate(llama, rows, sampling, bank)
        for row, text in zip(rows, together, strict=True):
            alone = generate(llama, [row], sampling, bank)[0]
            assert alone.text == text.text
            assert alone.shift == pytest.approx({b: s for b, s in text.shift.items() if b in alone.shift}, abs=1e-3)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_steers(
    make_model: Callable[..., LoadedModel], small_taxonomy: Taxonomy, dtype: torch.dtype
) -> None:
    loaded = make_model("llama", seed=3)
    loaded.model.to(dtype)
    bank = fit_bank(loaded, small_taxonomy)
    rows = [Row(raw_prompt(loaded, PROMPTS[0]), (Steer("calm"),))]
    text = generate(loaded, rows, Sampling(4), bank, CALIBRATED)[0]
    assert text.tokens and all(shift >= 0 for shift in text.shift.values())


def test_nan_activation_names_row_value_and_block(make_model: Callable[..., LoadedModel], bank: VectorBank) -> None:
    broken = make_model("llama")
    broken.blocks[1].mlp.down_proj.weight.data.fill_(float("nan"))
    with pytest.raises(NumericalError, match=r"activation of row 0 \(toward calm\) after block 1"):
        generate(broken, [Row(raw_prompt(broken, "a"), (Steer("calm"),))], Sampling(2), bank, coefficient(1.0))


# ---------------------------------------------------------------- recipes


def test_published_range_of_blocks() -> None:
    assert Recipe().chosen_blocks(32) == tuple(range(10, 26))


def test_unknown_block_is_refused() -> None:
    with pytest.raises(InputError, match="Blocks are 0 to 3"):
        Recipe(blocks=(4,)).chosen_blocks(4)


def test_blocks_that_do_not_separate_are_left_out(llama: LoadedModel, bank: VectorBank) -> None:
    strict = Recipe("probe", (1, 2), minimal_quality=1.01)
    rows = [Row(raw_prompt(llama, PROMPTS[0]), (Steer("calm"),))]
    text = generate(llama, rows, Sampling(4), bank, strict)[0]
    assert text.shift == {} and text.left_out == (1, 2)
    assert bank.plan(["calm"], strict).left_out == ((1, 2),)


def test_best_blocks_are_those_of_highest_quality(bank: VectorBank) -> None:
    quality = bank.entries["probe"].directions.quality[0]
    plan = bank.plan(["calm"], Recipe("probe", (0, 1, 2, 3), best=2, minimal_quality=0.0))
    used = {block for block, spec in plan.blocks.items() if spec.used[0]}
    assert len(used) == 2
    assert min(quality[b] for b in used) >= max(quality[b] for b in range(4) if b not in used)


def test_published_tables_give_each_value_its_amount() -> None:
    recipe = Recipe("mean_difference", magnitude="coefficient", table="alpha")
    assert (recipe.amount_for("benevolence"), recipe.amount_for("karma")) == (0.08, 0.5)
    assert Recipe(table="llama-2-7b-chat").amount_for("conformity") == 0.7
    assert Recipe(table="meta-llama-3-8b-instruct").amount_for("ubuntu") == 0.999999


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"magnitude": "huge"}, "magnitude: is 'huge'"),
        ({"scope": "middle"}, "scope"),
        ({"amount": 1.0}, "amount"),
        ({"magnitude": "coefficient", "amount": float("nan")}, "finite"),
        ({"depth": [0.8, 0.2]}, "depth"),
        ({"best": 0}, "best"),
        ({"cap": -1.0}, "cap"),
        ({"gate": 1.5}, "gate"),
        ({"table": "beta"}, "table"),
        ({"strength": 3}, "recipe field strength: is unknown"),
        ({"amount": "much"}, "recipe field amount: is 'much'"),
    ],
)
def test_impossible_recipes_are_refused(fields: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        Recipe.from_mapping(fields)


def test_unknown_estimator_and_value_are_refused(bank: VectorBank) -> None:
    with pytest.raises(InputError, match="estimator: 'lasso' is not in the bank"):
        bank.plan(["calm"], Recipe("lasso"))
    with pytest.raises(InputError, match="value: 'valor' is not in the bank"):
        bank.plan(["valor"])
    with pytest.raises(InputError, match="has no probability to calibrate"):
        bank.plan(["calm"], Recipe("projection", minimal_quality=0.0))
