"""Files of mixtures and weights, and the option that takes either."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from vispa.cli.setup import mixture_option
from vispa.errors import InputError
from vispa.modes.mixture import Mixture

WHOLE = {"format": "vispa-mixture-1", "kind": "fitted", "shares": {"karma": 1}, "groups": {}, "temperature": 1}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"shares": {"karma": "0.5"}}, "field shares.karma: is '0.5'"),
        ({"shares": {"karma": None}}, "field shares.karma: is None"),
        ({"shares": {"karma": [1]}}, r"field shares.karma: is \[1\]"),
        ({"shares": {"karma": True}}, "field shares.karma: is True"),
        ({"shares": {"karma": -1}}, "field shares.karma: is -1"),
        ({"shares": [["karma", 1]]}, "field shares: is "),
        ({"shares": {"karma": 0}}, "field shares: are all 0"),
        ({"shares": {"karma": 1e308, "honor": 1e308}}, "field shares: sum to inf"),
        ({"shares": {"karma": float("nan")}}, "field shares.karma: is no finite number"),
        ({"groups": {"Chile": {"karma": "x"}}}, "field groups.Chile.karma: is 'x'"),
        ({"groups": {"Chile": {"karma": 0}}}, "field groups.Chile: are all 0"),
        ({"groups": {"Chile": 1}}, "field groups.Chile: is 1"),
        ({"temperature": 0}, "field temperature: is 0"),
        ({"temperature": "1"}, "field temperature: is '1'"),
        ({"kind": "mode"}, "field kind: is 'mode'"),
        ({"format": "vispa-mixture-2"}, "field format: is 'vispa-mixture-2'"),
        ({"weights": {}}, "field weights: is unknown"),
        ({"report": {"distance": "small"}}, "field report.distance: is 'small'"),
    ],
)
def test_what_is_no_mixture_is_refused_by_field(tmp_path: Path, change: dict[str, object], message: str) -> None:
    path = tmp_path / "m.json"
    path.write_text(json.dumps({**WHOLE, **change}))
    with pytest.raises(InputError, match=rf"m\.json {message}"):
        mixture_option(str(path))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"karma": "a lot"}', "field karma: is 'a lot'"),
        ('{"karma": {"karma": 1}}', "field karma: is {"),
        ('{"karma": 0.5, "honor": false}', "field honor: is False"),
        ('{"karma": NaN}', "field karma: is no finite number"),
        ('{"karma": 1' + "0" * 400 + "}", "field karma: is no finite number"),
        ('{"karma": 0.5, "karma": 0.1}', "twice"),
        ('{"karma": 0, "honor": 0}', "are all 0"),
        ('{"\\ud800": 1}', "half a surrogate pair"),
        ('{"a": ' * 100_000, "nested too deeply"),
        ('{"karma": }', "is not valid JSON"),
        ("{}", "is not an object of value → weight"),
    ],
)
def test_what_are_no_weights_is_refused_wherever_they_stand(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(InputError, match=f"--weights.*{message}"):
        mixture_option(text)
    (tmp_path / "w.json").write_text(text)
    with pytest.raises(InputError, match=rf"w\.json.*{message}"):
        mixture_option(str(tmp_path / "w.json"))


def test_mixtures_and_weights_are_read_with_a_byte_order_mark(tmp_path: Path) -> None:
    path = tmp_path / "m.json"
    path.write_text("\ufeff" + json.dumps(WHOLE), encoding="utf-8")
    assert Mixture.load(path) == Mixture("fitted", {"karma": 1.0})
    path.write_text('\ufeff{"karma": 1, "format": 2}', encoding="utf-8")
    assert Mixture.load(path) == Mixture("given", {"karma": 1.0, "format": 2.0})


def test_mixtures_made_in_python_are_checked_too() -> None:
    with pytest.raises(InputError, match=r"mixture field shares\.karma"):
        Mixture("given", {"karma": "much"})  # type: ignore[dict-item]
    with pytest.raises(InputError, match="mixture field kind: is 'median'"):
        Mixture("median")
