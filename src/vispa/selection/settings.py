"""What a selector is made with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vispa.models.sources.progress import Progress


@dataclass(frozen=True)
class SelectorSettings:
    """What a selector is made with beside its values.

    Attributes:
        model: name or path of its encoder or classifier; None for its default.
        device: as in torch; by default a GPU where there is one.
        trust_remote_code: run code that comes with the model.
        progress: told of the work before the first text.
    """

    model: str | None = None
    device: str | None = None
    trust_remote_code: bool = False
    progress: Progress | None = None
