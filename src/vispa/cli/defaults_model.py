"""What a configuration file of the command line may hold; apart from `defaults`, because pydantic loads slowly."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from vispa.files.validation import FileModel
from vispa.request import MAX_NEW_TOKENS
from vispa.selection import SELECTORS

if TYPE_CHECKING:
    _SelectorName = str
else:
    _SelectorName = Literal[tuple(SELECTORS)]
_Text = Annotated[str, Field(min_length=1)]


class DefaultsFile(FileModel):
    """Defaults of options, each under the name of its parameter; see `vispa.cli.defaults.KEYS`."""

    model: _Text = ""
    cache: _Text = ""
    taxonomy: _Text = ""
    polarity: Literal["own", "paper"] = "own"
    recipe: _Text = ""
    selector: _SelectorName = "embedding"
    selector_model: _Text = ""
    k: Annotated[int, Field(ge=1)] | Annotated[str, Field(pattern="^(auto|[1-9][0-9]*)$")] = "auto"
    max_new_tokens: Annotated[int, Field(ge=1, le=MAX_NEW_TOKENS)] = 1
    aggregator: _Text = ""
    api_url: _Text = ""
    api_key_variable: str = ""
    dtype: _Text = ""
    device: _Text = ""
