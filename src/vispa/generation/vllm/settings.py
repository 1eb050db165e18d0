"""Where vLLM's processes learn of the bank: from the engine's configuration, or from the environment."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from vispa.generation.vllm.asked import ARGUMENT, read_recipe
from vispa.generation.vllm.vocabulary import Vocabulary
from vispa.steering.bank import VectorBank

#: Environment variable with the file of the bank, for anyone's `vllm serve`.
BANK_VARIABLE = "VISPA_BANK"


@dataclass(frozen=True)
class Settings:
    """What the processes of one vLLM engine steer with.

    Attributes:
        bank: its file.
        recipe: as JSON, of steers that name none; the bank's own by default.
        checked: whether whoever started the engine knows that the bank is the model's.
    """

    bank: str
    recipe: str | None = None
    checked: bool = False

    def vocabulary(self, device: Any = None) -> Vocabulary:
        """The bank's, on a device.

        Raises:
            BankError: the file is no bank, or damaged.
        """
        return _vocabulary(self, device)


def settings_of(vllm_config: Any) -> Settings | None:
    """What an engine steers with; None where it does not."""
    given = getattr(vllm_config, "additional_config", None)
    own = given.get(ARGUMENT) if isinstance(given, dict) else None
    if own is not None:
        return Settings(**own)
    bank = os.environ.get(BANK_VARIABLE, "")
    return Settings(bank) if bank else None


def keep_settings(vllm_config: Any, settings: Settings) -> None:
    """Let an engine's configuration say what it steers with, wherever that was said.

    vLLM keeps compiled code by its configuration: of an engine that steers it is other code than of one that does not.
    """
    given = vllm_config.additional_config
    if isinstance(given, dict):
        vllm_config.additional_config = {**given, ARGUMENT: vars(settings)}


@lru_cache(maxsize=8)
def _vocabulary(settings: Settings, device: Any) -> Vocabulary:
    bank = VectorBank.load(Path(settings.bank))
    return Vocabulary(bank, read_recipe(settings.recipe) or bank.recipe, device)
