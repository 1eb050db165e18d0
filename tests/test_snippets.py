"""How code blocks of the documentation are run: what they say they print is compared with what they print."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.snippets import run_page

PAGE = """
```sh
vispa values karma
vispa select "Lying to my boss" --k 1
```
{between}
```text
{printed}
```
"""


def run(folder: Path, printed: str, between: str = "") -> int:
    page = folder / "page.md"
    page.write_text(PAGE.format(printed=printed, between=between), encoding="utf-8")
    return run_page(page, folder)


@pytest.fixture(scope="module")
def printed(tmp_path_factory: pytest.TempPathFactory) -> str:
    """What the commands print, from the message of a page that says something else."""
    with pytest.raises(AssertionError) as raised:
        run(tmp_path_factory.mktemp("page"), "nothing")
    return str(raised.value).partition("printed is\n")[2].split("\nassert ")[0]


def test_what_is_printed_may_differ_as_between_machines(printed: str, tmp_path: Path) -> None:
    assert "karma" in printed and "truthfulness" in printed
    assert run(tmp_path, printed) == 1
    score = printed.split()[printed.split().index("truthfulness") - 1]
    assert run(tmp_path, printed.replace(score, f"{float(score) + 0.001:.3f}")) == 1


@pytest.mark.parametrize("change", [("truthfulness", "honesty"), ("0.", "1."), ("karma", "karma karma")])
def test_a_page_that_says_something_else_is_refused(change: tuple[str, str], printed: str, tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="printed is"):
        run(tmp_path, printed.replace(*change))


def test_a_block_of_its_own_is_no_output(tmp_path: Path) -> None:
    assert run(tmp_path, "a remark", between='```toml title="x.toml"\na = 1\n```') == 1
