"""Train the embedded model: `python -m training.train --output DIR`.

The same seed gives the same corpus, and on one machine with one number of threads the same
weights. Runs on a GPU when there is one; on two CPU cores it takes an hour or two. Stopped
runs continue from the last checkpoint in the output folder.
"""

from __future__ import annotations

import argparse
import json
import math
import time
import tomllib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from training.batches import LETTER, Batch, batches
from training.corpus import Grammar
from training.sources import HERE, load_sources
from training.tokenizer import train_tokenizer

CHECKPOINT = "checkpoint.pt"


def build_model(recipe: dict[str, Any], tokenizer: PreTrainedTokenizerFast) -> LlamaForCausalLM:
    """A freshly initialised Llama of the recipe's shape."""
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        initializer_range=0.04,
        **recipe["model"],
    )
    torch.manual_seed(recipe["seed"])
    model = LlamaForCausalLM(config)
    # On CPUs the plain attention is much faster in training than the fused one at this size.
    model.set_attn_implementation("eager")
    return model


def build_optimizers(
    model: LlamaForCausalLM, readers: Sequence[Reader], recipe: dict[str, Any]
) -> list[torch.optim.Optimizer]:
    """Muon for the blocks' matrices, AdamW for everything else, and one AdamW for each reader."""
    settings = recipe["optimizer"]
    matrices = [p for n, p in model.named_parameters() if p.ndim == 2 and "layers" in n]
    others = [p for n, p in model.named_parameters() if p.ndim != 2 or "layers" not in n]
    muon = torch.optim.Muon(
        matrices,
        lr=settings["muon_learning_rate"],
        weight_decay=settings["weight_decay"],
        adjust_lr_fn="match_rms_adamw",
    )
    groups = [others, *(list(reader.parameters()) for reader in readers)]
    return [
        muon,
        *(
            torch.optim.AdamW(group, lr=settings["adam_learning_rate"], betas=(0.9, 0.98), weight_decay=0.0)
            for group in groups
        ),
    ]


def rate(progress: float, settings: dict[str, Any]) -> float:
    """The learning rate's factor: linear warm-up, constant, linear decay to zero."""
    warmup = settings["warmup_tokens"] / settings["tokens"]
    if progress < warmup:
        return progress / float(warmup)
    return min(1.0, (1 - progress) / float(settings["decay"]))


class Reader(torch.nn.Module):
    """Reads one of several classes from the residual stream; used in training only.

    The *voice* reader reads at the last token of a sentence and of the prompt, with one linear map
    after two blocks in the middle of the model, whose voice has been heard; the *act* reader reads
    at the last token of the prompt what kind of act it is about, and the *stance* reader one block
    higher whether the voice supports it. Their loss makes the model write these things into the
    residual stream early, the voice in the same directions wherever it is carried. The answer's
    loss alone would take many more documents to bring that about.
    """

    def __init__(self, width: int, classes: int, blocks: list[int]) -> None:
        super().__init__()
        self.blocks = blocks
        self.map = torch.nn.Linear(width, classes)

    def loss(self, states: tuple[torch.Tensor, ...], classes: torch.Tensor) -> torch.Tensor:
        """Mean cross-entropy over the marked tokens of [B, T]; `states[l + 1]` is the output of block l."""
        marked = classes >= 0
        if not marked.any():
            return states[0].new_zeros(())
        losses = []
        for block in self.blocks:
            state = states[block + 1][marked]
            logits = self.map(torch.nn.functional.rms_norm(state, state.shape[-1:]))
            losses.append(torch.nn.functional.cross_entropy(logits.float(), classes[marked]))
        return torch.stack(losses).mean()


def batch_losses(
    model: LlamaForCausalLM, readers: Sequence[Reader], batch: Batch, device: torch.device, letter_weight: float
) -> list[torch.Tensor]:
    """Weighted next-token cross-entropy of a batch, and the losses of the voice, act and stance readers."""
    ids, weights = batch.ids.to(device), batch.weights.to(device)[:, 1:]
    weights = torch.where(weights == LETTER, letter_weight, weights)
    with torch.autocast(device.type, dtype=torch.bfloat16):
        mask = torch.zeros(batch.allowed.shape, dtype=torch.bfloat16).masked_fill(~batch.allowed, float("-inf"))
        output = model.model(input_ids=ids, attention_mask=mask.to(device), output_hidden_states=True)
        chosen = weights > 0
        logits = model.lm_head(output.last_hidden_state[:, :-1][chosen])
        marks = [mark.to(device) for mark in (batch.voices, batch.kinds, batch.stances)]
        read = [reader.loss(output.hidden_states, mark) for reader, mark in zip(readers, marks, strict=True)]
    losses = torch.nn.functional.cross_entropy(logits.float(), ids[:, 1:][chosen], reduction="none")
    return [(losses * weights[chosen]).sum() / weights.sum(), *read]


def train(recipe: dict[str, Any], output: Path, report: Callable[[str], None]) -> None:
    """Run the recipe to its end; `output` then holds the model and tokenizer in bfloat16."""
    settings = recipe["optimizer"]
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    grammar = Grammar(load_sources(), recipe["seed"])
    output.mkdir(parents=True, exist_ok=True)
    if (output / "tokenizer.json").exists():
        tokenizer = PreTrainedTokenizerFast.from_pretrained(output)
    else:
        tokenizer = train_tokenizer(grammar, **recipe["tokenizer"])
        tokenizer.save_pretrained(output)
    model = build_model(recipe, tokenizer)
    torch.nn.Module.to(model, device)
    width, later = model.config.hidden_size, recipe["later"]
    readers = [
        Reader(width, 2 * len(grammar.sources.values), recipe["voice_reader"]["blocks"]),
        Reader(width, grammar.sources.kinds, later["act_reader_blocks"]),
        Reader(width, 3, recipe["last"]["stance_reader_blocks"]),
    ]
    for reader in readers:
        reader.to(device)
    optimizers = build_optimizers(model, readers, recipe)
    report(f"{sum(p.numel() for p in model.parameters()):,} parameters, {len(tokenizer)} tokens, {device}")

    seen, first, step = 0, 0, 0
    if (output / CHECKPOINT).exists():
        state = torch.load(output / CHECKPOINT, map_location=device, weights_only=True)
        model.load_state_dict(state["model"])
        for reader, values in zip(readers, state["readers"], strict=True):
            reader.load_state_dict(values)
        for optimizer, values in zip(optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(values)
        seen, first, step = state["seen"], state["next"], state["step"]
        report(f"continues at step {step}, {seen:,} tokens")

    started, seen_at_start, smooth, pool_end = time.perf_counter(), seen, [math.nan] * 4, first
    for next_document, batch in batches(grammar, tokenizer, first=first, tokens_per_batch=settings["tokens_per_batch"]):
        if next_document != pool_end:
            # A checkpoint falls between two pools of documents, where the position is one number.
            if (step and step % 8 == 0) or seen >= settings["tokens"]:
                _save_checkpoint(output, model, readers, optimizers, seen=seen, next=pool_end, step=step)
            pool_end = next_document
        if seen >= settings["tokens"]:
            break
        for optimizer in optimizers:
            for group in optimizer.param_groups:
                base = group.setdefault("base_rate", group["lr"])
                group["lr"] = base * rate(seen / settings["tokens"], settings)
        is_later = seen >= later["from_token"]
        letter_weight = later["letter_weight"] if is_later else LETTER
        losses = batch_losses(model, readers, batch, device, letter_weight)
        is_last = seen >= recipe["last"]["from_token"]
        act_weight = later["act_reader_weight"] if is_later else 0.0
        stance_weight = recipe["last"]["stance_reader_weight"] if is_last else 0.0
        shares = (1.0, recipe["voice_reader"]["weight"], act_weight, stance_weight)
        torch.stack([share * loss for share, loss in zip(shares, losses, strict=True)]).sum().backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), settings["gradient_norm"])
        for optimizer in optimizers:
            optimizer.step()
            optimizer.zero_grad()
        step += 1
        seen += batch.tokens
        for number, value in enumerate(loss.item() for loss in losses):
            smooth[number] = value if math.isnan(smooth[number]) else 0.97 * smooth[number] + 0.03 * value
        if step % 50 == 0:
            speed = (seen - seen_at_start) / (time.perf_counter() - started)
            parts = "  ".join(
                f"{name} {value:.4f}" for name, value in zip(("loss", "voice", "act", "stance"), smooth, strict=True)
            )
            report(f"step {step:6d}  tokens {seen:11,}  {parts}  {speed:,.0f} tokens/s")
    torch.nn.Module.to(model, torch.bfloat16)
    model.save_pretrained(output)


def _save_checkpoint(
    output: Path,
    model: LlamaForCausalLM,
    readers: Sequence[Reader],
    optimizers: list[torch.optim.Optimizer],
    **position: int,
) -> None:
    temporary = output / (CHECKPOINT + ".tmp")
    states = {"model": model.state_dict(), "readers": [r.state_dict() for r in readers]}
    torch.save({**states, "optimizers": [o.state_dict() for o in optimizers], **position}, temporary)
    temporary.replace(output / CHECKPOINT)


def main() -> None:
    """Command line of the training."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path, required=True, help="folder for checkpoints and the finished model")
    parser.add_argument("--recipe", type=Path, default=HERE / "recipe.toml")
    parser.add_argument("--set", action="append", default=[], metavar="SECTION.KEY=JSON", help="override the recipe")
    arguments = parser.parse_args()
    recipe = tomllib.loads(arguments.recipe.read_text(encoding="utf-8"))
    for item in arguments.set:
        key, _, value = item.partition("=")
        section, _, name = key.partition(".")
        recipe[section][name] = json.loads(value)
    arguments.output.mkdir(parents=True, exist_ok=True)
    (arguments.output / "recipe.json").write_text(json.dumps(recipe, indent=1), encoding="utf-8")
    train(recipe, arguments.output, lambda line: print(line, flush=True))


if __name__ == "__main__":
    main()
