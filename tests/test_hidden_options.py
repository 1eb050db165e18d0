"""A list of options that is not read is told from prose, speakers and other words that look like one."""

from __future__ import annotations

import pytest

from vispa.modes.questions import hides_options


@pytest.mark.parametrize(
    ("text", "hidden"),
    [
        ("Is lying ok?\n\n**Options:**\n- yes\n- no", True),
        ("Is lying ok?\na) Yes. It helps.\nb) No. It harms.", True),
        ("Is lying ok?\n(a) yes.\n(b) no.\n(c) maybe.\nAnswer:", True),
        ("Is lying ok?\na) yes\nb) no\nExplain.", True),
        ("Lying to a friend. OPTIONS: yes / no", True),
        ("Is lying ok?\nA) yes\nB) no\nC) can't say, e.g. when asked", True),
        ("A: I lied to my wife.\nB: Why?", False),
        ("A: I lied to my wife.\nB: That was wrong.", False),
        ("I have two reasons: a) he lied b) she cried. Is it right?", False),
        ("My reasons:\na) he lied\nb) she cried\nIs it right?", False),
        ("He says (a) it helps and (b) it is fun. I doubt it.", False),
        ("Stock Options: should I sell?", False),
        ("Selling my stock Options: right or wrong?", False),
    ],
)
def test_a_list_at_the_end_is_told_from_prose(text: str, hidden: bool) -> None:
    assert hides_options(text) is hidden
