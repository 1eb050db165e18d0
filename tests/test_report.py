"""Words and numbers of the report, and what makes its page readable for everyone."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vispa.evaluation.methods import METHODS
from vispa.evaluation.metrics import METRICS, judge_in_words
from vispa.evaluation.report import drawings
from vispa.evaluation.report import words as report_words
from vispa.evaluation.report.page import _TEMPLATE
from vispa.evaluation.tasks import available
from vispa.modes.questions import target_in_words

# ---------------------------------------------------------------- words


def test_every_method_headline_and_survey_group_has_words(tmp_path):
    assert all(report_words.method_meaning(method) for method in METHODS)
    assert all(figure.meaning and figure.label for metric in METRICS.values() for figure in metric.figures)
    groups = {group for status in available(tmp_path) for group in status.task.groups}
    assert groups and all(report_words.group_label(group) != group for group in groups)
    assert all(target_in_words(f"{group}_x") != f"{group}_x" for group in report_words.words()["groups"])


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("vispa", "comments of the model steered toward each selected value"),
        ("vispa:mean_difference", "…, by the estimator mean difference"),
        ("vispa:probe+nli", "…, by the estimator probe, selected by nli"),
        ("vanilla+nli", ""),
        ("own", ""),
    ],
)
def test_variants_of_vispa_are_explained(name, expected):
    assert report_words.method_meaning(name) == expected.replace("…", report_words.method_meaning("vispa"))


def test_names_in_words():
    assert report_words.figure_label("jensen_shannon") == "Jensen–Shannon distance"
    assert report_words.figure_label("unknown_figure") == "unknown_figure"
    assert report_words.group_label("Chile") == "Chile"
    assert report_words.attribute_label("POLPARTY_Democrat") == "political party: Democrat"
    assert report_words.attribute_label("low_ambiguity") == "low_ambiguity"
    assert judge_in_words("nli:a/b:c") == "entailment under the NLI model a/b:c"
    assert judge_in_words("other") == "other"


# ---------------------------------------------------------------- numbers


@pytest.mark.parametrize(
    ("value", "plain", "signed"),
    [
        (0.0, "0.000", "0.000"),
        (-0.0, "0.000", "0.000"),
        (-0.0004, "0.000", "0.000"),
        (0.0004, "0.000", "0.000"),
        (0.25, "0.250", "+0.250"),
        (-0.25, "−0.250", "−0.250"),
        (1234.5, "1,234.500", "+1,234.500"),
    ],
)
def test_numbers_have_three_decimals_and_no_signed_zero(value, plain, signed):
    assert (report_words.number(value), report_words.signed(value)) == (plain, signed)


@given(st.floats(-1e6, 1e6))
def test_a_signed_number_reads_back(value):
    text = report_words.signed(value)
    assert float(text.replace("−", "-").replace(",", "")) == pytest.approx(value, abs=5.1e-4)
    assert "-" not in text and not re.match(r"[+−]0\.000$", text)


def test_shares_p_values_and_counts():
    assert [report_words.percent(x) for x in (0, 0.01, 0.0056, 0.917, 1)] == [
        "0\u00a0%", "1\u00a0%", "0.6\u00a0%", "91.7\u00a0%", "100\u00a0%",
    ]  # fmt: skip
    assert [report_words.p_value(x) for x in (0.0001, 0.001, 0.0456, 1)] == ["<\u00a00.001", "0.001", "0.046", "1.000"]
    assert [report_words.counted(n, "item") for n in (0, 1, 1649)] == ["0 items", "1 item", "1,649 items"]
    assert report_words.check_figure("one answer", 0.917) == "91.7\u00a0%"
    assert report_words.check_figure("perplexity", 50.0) == "50.0"
    assert report_words.check_figure("a check of tomorrow", 0.5) == "0.500"


# ---------------------------------------------------------------- colours


def contrast(first: str, second: str) -> float:
    """Of WCAG 2.2, of two colours such as #1c1f24."""

    def luminance(color: str) -> float:
        digits = color[1:] if len(color) == 7 else "".join(2 * digit for digit in color[1:])
        channels = [int(digits[place : place + 2], 16) / 255 for place in (0, 2, 4)]
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    low, high = sorted((luminance(first), luminance(second)))
    return (high + 0.05) / (low + 0.05)


def test_contrast_by_hand():
    assert contrast("#000", "#ffffff") == pytest.approx(21)
    assert contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.01)


def test_text_and_figures_can_be_told_from_their_background():
    names = dict(re.findall(r"--([\w-]+): (#\w+)", _TEMPLATE.read_text(encoding="utf-8")))
    for name in ("quiet", "bad", "good", "link"):
        assert contrast(names[name], "#ffffff") >= 4.5
        assert contrast(names[name], names["bad-back"]) >= 4.5
    assert all(contrast(color, "#ffffff") >= 4.5 for color in drawings._COLORS)
    assert len({drawings._style(number) for number in range(12)}) == 12


def test_the_template_itself_is_well_formed():
    void = {"meta", "br", "link"}
    open_tags: list[str] = []

    class Checker(HTMLParser):
        def handle_starttag(self, tag, attrs):
            if tag not in void:
                open_tags.append(tag)

        def handle_endtag(self, tag):
            assert open_tags.pop() == tag

    # Statements and expressions stand between tags or in attributes, never across one.
    Checker().feed(re.sub(r"{%.*?%}|{{.*?}}", "", _TEMPLATE.read_text(encoding="utf-8"), flags=re.DOTALL))
    assert open_tags == []
