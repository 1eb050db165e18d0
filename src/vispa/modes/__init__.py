"""The modes: what becomes of the comments on a text. A mode is one file and one line here."""

from __future__ import annotations

from vispa.modes.base import Mode
from vispa.modes.distributional import DistributionalMode
from vispa.modes.overton.mode import OvertonMode
from vispa.modes.steerable import SteerableMode

#: Name of a mode, as requests say it → the mode.
MODES: dict[str, type[Mode]] = {mode.name: mode for mode in (OvertonMode, SteerableMode, DistributionalMode)}
