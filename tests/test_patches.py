"""The patches that CONTRIBUTING.md shows: each touches as many files as it says, and what it adds works."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PATCHES = ROOT / "docs" / "patches"
#: Files of code that a change of a kind may touch.
BARS = {
    "metric": 2,
    "mode": 4,
    "engine": 2,
    "estimator": 2,
    "magnitude": 2,
    "selector": 2,
    "model-source": 2,
    "item-format": 1,
    "prompt": 1,
    "quirk": 1,
    "option": 1,
}
#: How each is used once it is there; run in one process with all patches applied.
USES = {
    "metric": """
        from vispa.evaluation.metrics import METRICS
        from vispa.evaluation.metrics.base import Scoring
        from vispa.evaluation.runs.folder import ItemRecord
        from vispa.items.item import Item
        item = Item(id=1, text="Is it fair?", options=("Yes", "No"), gold_distribution=(1.0, 1.0))
        record = ItemRecord(id=1, text="Is it fair?", answer="A", response="Yes", distribution=(1.0, 0.0))
        found = METRICS["brier"].score([item, item], [record, None], Scoring(), None)
        assert found.scores["brier"].tolist() == [0.5, 2.0]
    """,
    "mode": """
        from vispa.modes import MODES
        from vispa.modes.case import Case
        from vispa.records import Comment
        comments = [
            Comment(value=value, text="So.", shift={}, prompt="?", tokens=2, stance={stance: 1.0})
            for value, stance in (("karma", "oppose"), ("honor", "support"), ("face", "oppose"))
        ]
        found = MODES["majority"](None).answer([Case("Lying to my boss", comments), Case("Lying", [])])
        assert found[0].response == "oppose" and found[0].votes == {"oppose": 2, "support": 1}
        assert "no comment" in found[1].reason
    """,
    "engine": """
        from vispa import Vispa
        vispa = Vispa.from_pretrained("embedded", engine="remembering")
        first = vispa.respond("Lying to my boss", k=1, max_new_tokens=8)
        again = vispa.respond("Lying to my boss", k=1, max_new_tokens=8)
        assert type(vispa.engine).__name__ == "RememberingEngine"
        assert first.comments == again.comments and len(vispa.engine._known) == 1
    """,
    "estimator": """
        import torch
        from vispa.steering.estimators import ESTIMATORS
        one = next(one for one in ESTIMATORS if one.name == "median_difference")
        states = torch.randn(3, 8, 2, 4)
        assert one.fit(states + 1, states - 1).vectors.shape == (3, 2, 4)
    """,
    "magnitude": """
        from vispa import Recipe
        from vispa.steering.magnitudes.base import Spot
        recipe = Recipe(magnitude="length", amount=6.0)
        assert recipe.rule.multiples(Spot("probe", 3.0, 50.0, None, None), recipe.amount) == 2.0
    """,
    "selector": """
        from vispa import Taxonomy
        from vispa.selection import SELECTORS
        from vispa.selection.settings import SelectorSettings
        one = SELECTORS["naming"].make(Taxonomy.built_in(), SelectorSettings())
        assert one.scores(["Is karma real?"]).sum() == 1
    """,
    "model-source": """
        import os, pathlib
        from vispa.models.sources import model_folder
        os.environ["VISPA_MODELS"] = "."
        pathlib.Path("llama").mkdir()
        assert model_folder("shelf:llama") == pathlib.Path("llama")
    """,
    "item-format": """
        import pathlib
        from vispa.items.reading import read_items
        pathlib.Path("a.md").write_text("# Situations\\n\\n- Lying to my boss\\n- Eating meat\\n")
        assert [item.text for item in read_items(pathlib.Path("a.md"))] == ["Lying to my boss", "Eating meat"]
    """,
    "prompt": """
        from vispa.modes.prompts import built_in_prompts
        assert built_in_prompts().comment.startswith("Say what you think")
    """,
    "quirk": """
        from types import SimpleNamespace
        from torch import nn
        from vispa.models.blocks import decoder_blocks
        model = nn.Module()
        model.config, model.parts = SimpleNamespace(depth=3), nn.ModuleList([nn.Linear(1, 1) for _ in range(3)])
        assert len(decoder_blocks(model)) == 3
    """,
    "option": """
        from typer.testing import CliRunner
        from vispa.cli.main import app
        from vispa.cli.options import Decoding
        for command in ("respond", "batch", "eval"):
            assert "--short" in CliRunner().invoke(app, [command, "--help"]).output
        assert Decoding(short=True).sampling.max_new_tokens == 40
    """,
}


def test_there_is_a_patch_of_each_kind() -> None:
    assert {path.stem for path in PATCHES.glob("*.diff")} == set(BARS) == set(USES)
    shown = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    for kind in BARS:
        assert f"](docs/patches/{kind}.diff)" in shown, kind


@pytest.mark.parametrize("kind", BARS)
def test_a_patch_touches_few_files(kind: str) -> None:
    touched = re.findall(r"^\+\+\+ b/(\S+)$", (PATCHES / f"{kind}.diff").read_text(encoding="utf-8"), re.MULTILINE)
    assert 1 <= len(touched) <= BARS[kind]
    assert all(name.startswith("src/vispa/") for name in touched)


def test_what_the_patches_add_works(tmp_path: Path) -> None:
    """All patches on a copy of the package, used in one process."""

    def copy(source: str, target: str) -> None:
        if Path(source).stat().st_size > 200_000:
            Path(target).symlink_to(source)
        else:
            shutil.copyfile(source, target)

    leaving_out = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "src", tmp_path / "src", copy_function=copy, ignore=leaving_out)
    for kind in BARS:
        applied = subprocess.run(
            ["git", "apply", "--recount", str(PATCHES / f"{kind}.diff")],
            cwd=tmp_path,
            env=os.environ | {"GIT_CEILING_DIRECTORIES": str(tmp_path.parent)},
            capture_output=True,
            text=True,
        )
        assert applied.returncode == 0, f"{kind}: {applied.stderr}"
    (tmp_path / "use.py").write_text("import textwrap\n" + "".join(map(_used, USES.values())))
    environment = os.environ | {"PYTHONPATH": str(tmp_path / "src")}
    found = subprocess.run(
        [sys.executable, "use.py"], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert found.returncode == 0, found.stderr


def _used(code: str) -> str:
    return f"exec(textwrap.dedent({code!r}), {{}})\n"
