"""`vispa config`."""

from __future__ import annotations

from vispa.cli import options as o
from vispa.cli.console import print_json, print_line
from vispa.cli.defaults import config_path, defaults


def config(as_json: o.AsJson = False) -> None:
    """Show the options' defaults and where each comes from: built in, the configuration file, or the environment.

    The file is TOML with the keys shown, such as `model = "./my-llama"`; VISPA_CONFIG names another one.
    A variable such as VISPA_MODEL goes before the file, and an option before both.

    Example: `vispa config --json`
    """
    found = defaults()
    path = config_path()
    if as_json:
        print_json(
            {"file": str(path), "exists": path.is_file(), "defaults": {k: v._asdict() for k, v in found.items()}}
        )
        return
    print_line(f"{path}" + ("" if path.is_file() else "  (there is no such file)"))
    width = max(map(len, found))
    values = {key: "" if one.value is None else str(one.value) for key, one in found.items()}
    widest = max(map(len, values.values()))
    for key, one in found.items():
        origin = one.origin if one.place is None else f"{one.origin} {one.place}"
        print_line(f"{key:<{width}}  {values[key]:<{widest}}  {origin}")
