"""A taxonomy of one's own, written, loaded and used: `python examples/your_own_values.py`."""

import csv
import tempfile
from pathlib import Path

from vispa import Taxonomy, Vispa

VALUES = """\
[craft]
label = "craftsmanship"
family = "Work"
definition = "Doing a piece of work well for its own sake, down to the parts that nobody sees."

[haste]
label = "haste"
family = "Work"
definition = "Getting a thing done at any price, as long as it is quick."
polarity = "avoid"   # selected as a topic, spoken for as its avoidance
"""
# In each pair only the value differs. Two are the least; a hundred steer better.
PAIRS = {
    "craft": [
        ("I planed the back of the drawer too.", "I left the back of the drawer rough."),
        ("She checked every seam by hand.", "She checked no seam at all."),
        ("He sharpened the chisel before he began.", "He began with a blunt chisel."),
    ],
    "haste": [
        ("I sent the letter unread.", "I read the letter once more before I sent it."),
        ("She painted over the damp wall.", "She let the wall dry before she painted it."),
        ("He skipped the test to be home by five.", "He stayed until the test was done."),
    ],
}

with tempfile.TemporaryDirectory() as name:
    folder = Path(name)
    (folder / "values.toml").write_text(VALUES, encoding="utf-8")
    (folder / "pairs").mkdir()
    for slug, pairs in PAIRS.items():
        with (folder / "pairs" / f"{slug}.csv").open("w", encoding="utf-8", newline="") as file:
            csv.writer(file).writerows([("positive", "negative"), *pairs])
    taxonomy = Taxonomy.load(folder)

    # Fits the directions of both values on the model, once; later calls find them in the cache.
    vispa = Vispa.from_pretrained("embedded", taxonomy=taxonomy)
    answer = vispa.respond("Gluing the broken chair instead of mending the joint")
    for comment in answer.comments:
        print(taxonomy[comment.value].label, "→", comment.text)
