"""Banks that ship with the package, for models that are asked for by name: nothing is fitted on first use.

Each is a file of the folder `shipped`, made by `training/ship_bank.py`: the entry of the model's tuned recipe and that
of the published one, vectors in half precision.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path

from vispa.steering.bank import VectorBank
from vispa.steering.bank_header import BankHeader, parsed_header
from vispa.steering.recipe import Recipe
from vispa.steering.sealing import stored_header

SHIPPED = Path(__file__).with_name("shipped")


@cache
def shipped_headers() -> dict[Path, BankHeader]:
    """What the files say of themselves, by file."""
    return {path: parsed_header(stored_header(path), str(path)) for path in sorted(SHIPPED.glob("*.safetensors"))}


def shipped_bank(model_fingerprint: str, taxonomy_fingerprint: str) -> VectorBank | None:
    """The bank that ships for a model and taxonomy; None where there is none.

    Raises:
        BankError: the file is damaged.
    """
    for path, header in shipped_headers().items():
        if (header.info.model_fingerprint, header.info.taxonomy_fingerprint) == (
            model_fingerprint,
            taxonomy_fingerprint,
        ):
            # Its recipe was tuned by us: advice, which later releases may change, and not the user's own.
            return replace(VectorBank.load(path), tuning=None)
    return None


def shipped_recipe(model_fingerprint: str) -> Recipe | None:
    """The recipe that ships for a model, whatever the taxonomy; None where there is none."""
    for path, header in shipped_headers().items():
        if header.info.model_fingerprint == model_fingerprint:
            return Recipe.from_mapping(header.recipe, path.name)
    return None
