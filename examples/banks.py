"""Inside a bank: steer single rows, compare estimators, export a direction: `python examples/banks.py`."""

import tempfile
from pathlib import Path

from vispa import Recipe, Steer
from vispa.generation.rows import Row, Sampling
from vispa.generation.transformers import TransformersEngine
from vispa.models.loading import load_model
from vispa.steering.bank_cache import cached_bank
from vispa.steering.exchange.gguf import export_gguf
from vispa.taxonomy import Taxonomy

taxonomy = Taxonomy.built_in()
loaded = load_model("embedded")
bank = cached_bank(loaded, taxonomy)  # fitted on the first call

for name, entry in bank.entries.items():
    accuracy = entry.directions.quality.mean(0)  # held-out accuracy by block, mean over the values
    print(f"{name:<30}", " ".join(f"{one:.2f}" for one in accuracy.tolist()))

# A row is one prompt with its steers: several values, weights, recipes of their own. Rows are one batch.
engine = TransformersEngine(loaded, bank)
prompt = engine.chat_prompt("Please comment on the following situation: Leaving the party early")
strong = Recipe(estimator="one_versus_others_last", blocks=(1,), magnitude="residual", amount=0.7, scope="prompt")
rows = [
    Row(prompt),
    Row(prompt, (Steer("hedonism"),)),
    Row(prompt, (Steer("hedonism", weight=0.5), Steer("honor", weight=0.5))),
    Row(prompt, (Steer("honor", recipe=strong),)),
]
for row, text in zip(rows, engine.generate(rows, Sampling(max_new_tokens=40)), strict=True):
    toward = " + ".join(f"{steer.weight:g} × {steer.value}" for steer in row.steers) or "not steered"
    print(f"{toward}: {text.text}")

with tempfile.TemporaryDirectory() as folder:
    path = Path(folder) / "karma.gguf"
    blocks = export_gguf(bank, path, value="karma", scale="recipe")  # for llama.cpp and repeng
    print(f"karma.gguf: {path.stat().st_size:,} bytes, blocks {', '.join(map(str, blocks))}")
