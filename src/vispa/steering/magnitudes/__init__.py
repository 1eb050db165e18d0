"""How far to shift: rules of magnitude by name. A new one is a file here and a line in `MAGNITUDES`."""

from __future__ import annotations

from vispa.steering.magnitudes.base import MagnitudeRule
from vispa.steering.magnitudes.calibrated import Calibrated
from vispa.steering.magnitudes.coefficient import Coefficient
from vispa.steering.magnitudes.kl import KullbackLeibler
from vispa.steering.magnitudes.residual import Residual

#: Name, as recipes give it → rule.
MAGNITUDES: dict[str, MagnitudeRule] = {
    "calibrated": Calibrated(),
    "coefficient": Coefficient(),
    "residual": Residual(),
    "kl": KullbackLeibler(),
}
