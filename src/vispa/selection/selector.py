"""The interface of selectors, which say how relevant each value is to a text."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from vispa.models.encoder import FloatArray
from vispa.taxonomy import Taxonomy

if TYPE_CHECKING:
    from vispa.models.loading import LoadedModel


class Selector(Protocol):
    """Selector of the values that matter for a text: scores every value of a taxonomy.

    Attributes:
        name: goes into the record of an answer.
        taxonomy: the values, in the order of the scores' columns.
    """

    name: str
    taxonomy: Taxonomy

    def scores(self, texts: Sequence[str], progress: Callable[[int], None] | None = None) -> FloatArray:
        """Relevance of every value to every text; values do not compete.

        Args:
            texts: N.
            progress: called with the number of texts just scored.

        Returns:
            [N, V] float32 in [0, 1].
        """
        ...


@runtime_checkable
class ModelReadingSelector(Selector, Protocol):
    """A selector that reads the language model that is to be steered."""

    def read_with(self, loaded: LoadedModel) -> None:
        """Read this model, unless the selector was told of another one.

        Args:
            loaded: the model.
        """
        ...


@runtime_checkable
class MonolingualSelector(Selector, Protocol):
    """A selector that says whether it reads English alone; others are asked about texts in any language."""

    @property
    def english_only(self) -> bool:
        """Whether what it gives for a text in another language means nothing."""
        ...


@runtime_checkable
class BoundedSelector(Selector, Protocol):
    """A selector that says which texts it reads to their end; others are given texts of any length.

    A `Chooser` gives it longer ones in parts; see `vispa.selection.dividing`.
    """

    def reads_whole(self, texts: Sequence[str]) -> Sequence[bool]:
        """Whether each of N texts is short enough to be read to its end."""
        ...


@runtime_checkable
class StanceSelector(Selector, Protocol):
    """A selector that also says on which side of each value a text's situation is; not all do."""

    def stances(self, texts: Sequence[str]) -> FloatArray:
        """Whether what each text describes promotes or violates each value, were the value at stake.

        Args:
            texts: N.

        Returns:
            [N, V] float32, the probability that it promotes the value (for one with polarity `avoid`, that it avoids
            it) rather than violates it; 0.5 is open, not a number where the selector cannot tell of a value.
        """
        ...
