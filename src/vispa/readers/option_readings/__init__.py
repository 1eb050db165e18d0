"""Ways to read which option a model favours; a new one is a file here, a line in `READINGS` and a word in `request`."""

from __future__ import annotations

from vispa.errors import check_choice
from vispa.readers.option_readings.base import OptionQuestion, OptionReading, Reading, Source
from vispa.readers.option_readings.calibrated import Calibrated
from vispa.readers.option_readings.cyclic import Cyclic
from vispa.readers.option_readings.letters import Letters
from vispa.readers.option_readings.words import Words
from vispa.request import OptionReadingName

__all__ = ["READINGS", "OptionQuestion", "OptionReading", "Reading", "Source", "option_reading"]

READINGS: dict[OptionReadingName, OptionReading] = {
    "letters": Letters(),
    "cyclic": Cyclic(),
    "calibrated": Calibrated(),
    "words": Words(),
}


def option_reading(name: str) -> OptionReading:
    """The reading of that name.

    Raises:
        InputError: there is none.
    """
    check_choice("option_reading", name, tuple(READINGS))
    return READINGS[name]  # type: ignore[index]
