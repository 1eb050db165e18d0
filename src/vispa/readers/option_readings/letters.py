"""The published way: the next token's mass of each option's letter, in the order given."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from vispa.readers.base import Failure
from vispa.readers.option_readings.base import OptionQuestion, Reading, Source
from vispa.request import OptionReadingName


class Letters:
    """See the module (section 3.3 of the paper). Small models favour a letter whatever it stands for."""

    name: ClassVar[OptionReadingName] = "letters"

    def read(self, source: Source, questions: Sequence[OptionQuestion]) -> list[Reading | Failure]:
        """See `OptionReading.read`."""
        return source.letters(range(len(questions)), questions, None)
