"""Tasks: their definitions, their items, and what is said about files that cannot be used."""

from __future__ import annotations

import json

import pytest

from vispa.errors import InputError
from vispa.evaluation.metrics import METRICS
from vispa.evaluation.tasks import Task, available, built_in_tasks, find_task, is_shipped, load_task
from vispa.items.item import Item

SITUATION = {
    "id": 4,
    "situation": "Lending a neighbour my ladder",
    "vrd": ["Generosity", "Duty of care"],
    "explanation": ["Sharing tools is generous.", "The ladder must be safe to climb."],
    "input": "Please comment: lending a neighbour my ladder",
    "output": None,
}
OPINION = {
    "id": 90,
    "question": "Question: How often do you whistle?\nOptions: A. Daily B. Never\nAnswer:",
    "options": ["Daily", "Never "],
    "attribute": "SEX_Female",
    "gold_distribution": [0.25, 0.75],
    "pred_distribution": None,
}
STANCE = {
    "id": 7,
    "situation": "Baking bread at night",
    "vrd": "Right to rest",
    "label_text": "Opposes",
    "label": "B",
    "input": "Does the value support it? A. Support B. Oppose C. Either\nAnswer:",
    "output": None,
}
ROWS = {"coverage": SITUATION, "agreement": STANCE, "most-likely": OPINION, "distribution": OPINION}


def write(folder, name, rows):
    path = folder / built_in_tasks()[name].file
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(rows), encoding="utf-8")
    return path


def refused(folder, name, rows):
    write(folder, name, rows)
    with pytest.raises(InputError) as error:
        load_task(name, folder)
    return error.value


# ---------------------------------------------------------------- definitions


PUBLISHED = {name: task for name, task in built_in_tasks().items() if not is_shipped(task)}


def test_the_published_tasks_are_all_there():
    tasks = PUBLISHED
    assert list(tasks) == [
        "vital/overton",
        "vital/steerable-opinionqa",
        "vital/moralchoice",
        "vital/globalopinionqa",
        "modplural/steerable-valuekaleidoscope",
        "modplural/steerable-opinionqa",
        "modplural/moralchoice",
        "modplural/globalopinionqa",
    ]
    assert {task.metric for task in tasks.values()} == set(METRICS)
    assert sum(task.items for task in tasks.values()) == 21_762
    assert len({task.file for task in tasks.values()}) == len(tasks)


def test_unknown_tasks_are_refused_with_the_nearest_name():
    with pytest.raises(InputError, match=r"Did you mean vital/overton\?"):
        find_task("vital/overtone")
    with pytest.raises(InputError, match="vital/moralchoice"):
        find_task("zzz")
    with pytest.raises(InputError, match="folder"):
        load_task("vital/overton")


# ---------------------------------------------------------------- items


@pytest.mark.parametrize("name", list(PUBLISHED))
def test_each_task_reads_rows_of_its_shape(tmp_path, name):
    task = built_in_tasks()[name]
    write(tmp_path, name, [ROWS[task.metric]])
    (item,) = load_task(name, tmp_path).items
    assert item.mode == task.mode
    assert item.id == ROWS[task.metric]["id"]


def test_overton_items(tmp_path):
    write(tmp_path, "vital/overton", [SITUATION])
    (item,) = load_task("vital/overton", tmp_path).items
    assert item.text == SITUATION["situation"]
    assert item.prompt == SITUATION["input"]
    assert item.vrd == ("Generosity", "Duty of care")
    assert item.explanations == tuple(SITUATION["explanation"])
    assert (item.options, item.attribute, item.gold_distribution, item.label) == ((), None, None, None)


def test_stance_items(tmp_path):
    write(tmp_path, "modplural/steerable-valuekaleidoscope", [STANCE])
    (item,) = load_task("modplural/steerable-valuekaleidoscope", tmp_path).items
    assert (item.options, item.label, item.vrd) == (("Support", "Oppose", "Either"), 1, ("Right to rest",))


def test_opinion_items(tmp_path):
    single = {**OPINION, "id": 91, "options": ["Not selected"], "gold_distribution": [1.0]}
    twice = {**OPINION, "id": 92, "options": ["Ye", "Ye"]}
    rounded = {**OPINION, "id": "93", "options": ["a", "b", "c"], "gold_distribution": [0.33, 0.33, 0.33]}
    whole = {**OPINION, "id": 94, "gold_distribution": [1, 0]}
    write(tmp_path, "vital/steerable-opinionqa", [OPINION, single, twice, rounded, whole])
    items = load_task("vital/steerable-opinionqa", tmp_path).items
    assert items[0].options == ("Daily", "Never")
    assert items[0].prompt == items[0].text == OPINION["question"]
    assert [item.gold_distribution for item in items] == [
        (0.25, 0.75),
        (1.0,),
        (0.25, 0.75),
        (0.33, 0.33, 0.33),
        (1, 0),
    ]
    assert items[2].options == ("Ye", "Ye")


def test_the_file_may_lie_in_the_folder_itself(tmp_path):
    path = write(tmp_path, "vital/overton", [SITUATION])
    assert load_task("vital/overton", path.parent).items == load_task("vital/overton", tmp_path).items


@pytest.mark.parametrize(
    ("change", "field", "problem"),
    [
        ({"gold_distribution": [0.5, 0.25, 0.25]}, "gold_distribution", "has 3 shares, options 2"),
        ({"gold_distribution": [25, 75]}, "gold_distribution", "sums to 100"),
        ({"gold_distribution": [-0.5, 1.5]}, "gold_distribution[0]", "at least 0"),
        ({"gold_distribution": ["0.25", 0.75]}, "gold_distribution[0]", "a number"),
        ({"gold_distribution": None}, "gold_distribution", "has no field"),
        ({"options": []}, "gold_distribution", "options 0"),
        ({"options": ["Daily", " "]}, "options[1]", "at least 1"),
        ({"options": ["x"] * 27, "gold_distribution": [1] + [0] * 26}, "options", "at most 26"),
        ({"attribute": None}, "attribute", "neither"),
        ({"attribute": 5}, "attribute", "a text"),
        ({"question": "  "}, "question", "at least 1"),
        ({"question": None}, "question", "has no field"),
        ({"question": "x" * 20_001}, "question", "Give at most 20,000"),
        ({"id": None}, "'id'", "has no field"),
        ({"id": 1.5}, "field id", "a whole number"),
        ({"id": True}, "field id", "a whole number"),
    ],
)
def test_malformed_opinions_are_refused(tmp_path, change, field, problem):
    message = str(refused(tmp_path, "vital/steerable-opinionqa", [{**OPINION, "id": 1}, {**OPINION, **change}]))
    assert "vital_steerable_opinionqa.json item 2" in message
    assert field in message
    assert problem in message
    assert change.get("id", 1) is None or "(id " in message


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"gold_distribution": [float("nan"), 1]}, "field gold_distribution[0]: is no finite number"),
        ({"question": "a\ud800"}, "field question: holds half a surrogate pair"),
    ],
)
def test_what_no_item_may_hold_is_refused(tmp_path, change, message):
    assert f"item 1 {message}" in str(refused(tmp_path, "vital/steerable-opinionqa", [{**OPINION, **change}]))


@pytest.mark.parametrize(
    ("name", "row", "part"),
    [
        ("vital/overton", {**SITUATION, "explanation": []}, "has no field 'explanation'"),
        ("vital/overton", {**SITUATION, "vrd": ["One"]}, "1 values and 2 explanations"),
        ("vital/overton", {**SITUATION, "explanation": ["x", ""]}, "field explanation[1]"),
        ("modplural/steerable-valuekaleidoscope", {**STANCE, "label": "D"}, "field label: is 'D'"),
        ("modplural/steerable-valuekaleidoscope", {**STANCE, "label": 1}, "field label: is 1"),
        ("modplural/steerable-valuekaleidoscope", {**STANCE, "label": None}, "has no field 'label'"),
        ("modplural/steerable-valuekaleidoscope", {**STANCE, "vrd": None}, "neither 'vrd' nor 'attribute'"),
    ],
)
def test_malformed_items_are_refused(tmp_path, name, row, part):
    assert part in str(refused(tmp_path, name, [row]))


def test_identifiers_must_differ(tmp_path):
    assert "holds the id 90 twice" in str(refused(tmp_path, "vital/moralchoice", [OPINION, OPINION]))
    write(tmp_path, "vital/moralchoice", [OPINION, {**OPINION, "id": "90"}])
    assert [item.id for item in load_task("vital/moralchoice", tmp_path).items] == [90, "90"]


@pytest.mark.parametrize(
    ("content", "part"),
    [
        (b"[{]", "line 1: is not valid JSON"),
        (b"{}", "not a JSON list"),
        (b"[]", "holds no item"),
        (b"[3]", "item 1: is not an object"),
        (b"\xff", "is not UTF-8"),
        (b"[" * 100_000, "nested too deeply"),
    ],
)
def test_unreadable_files_are_refused(tmp_path, content, part):
    path = write(tmp_path, "vital/overton", [])
    path.write_bytes(content)
    with pytest.raises(InputError, match=part):
        load_task("vital/overton", tmp_path)


# ---------------------------------------------------------------- what is there


def test_available_says_what_is_there_and_where_to_get_the_rest(tmp_path):
    write(tmp_path, "vital/overton", [SITUATION])
    write(tmp_path, "vital/moralchoice", [{**OPINION, "options": []}])
    status = {entry.task.name: entry for entry in available(tmp_path)}
    assert list(status) == list(built_in_tasks())
    assert (status["vital/overton"].items, status["vital/overton"].problem) == (1, None)
    assert not status["vital/overton"].is_published
    assert "options 0" in status["vital/moralchoice"].problem
    assert status["vital/moralchoice"].path is not None
    missing = status["modplural/moralchoice"]
    assert (missing.path, missing.items) == (None, None)
    assert "is missing" in missing.problem
    assert missing.task.source in missing.problem
    nowhere = available(tmp_path / "nowhere", list(PUBLISHED))
    assert len(nowhere) == len(PUBLISHED) and all(entry.items is None for entry in nowhere)


# ---------------------------------------------------------------- tasks of one's own

OWN = """
name = "kitchen/visits"
file = "visits.jsonl"
mode = "steerable"
metric = "agreement"
source = "written for a test"
licence = "CC0-1.0"
options = ["Support", "Oppose", "Either"]
[fields]
text = "case"
label = "verdict"
"""


def test_a_task_of_one_s_own(tmp_path):
    (tmp_path / "visits.toml").write_text(OWN)
    lines = [
        {"id": "x", "case": "Tasting before serving", "vrd": "Care", "verdict": "support"},
        {"id": "y", "case": "Serving cold soup", "attribute": "guests", "verdict": "(c)"},
    ]
    (tmp_path / "visits.jsonl").write_text("\n\n".join(map(json.dumps, lines)) + "\n")
    items = load_task(tmp_path / "visits.toml").items
    assert [(item.id, item.label, item.prompt) for item in items] == [
        ("x", 0, "Tasting before serving"),
        ("y", 2, "Serving cold soup"),
    ]
    assert available(tmp_path, [str(tmp_path / "visits.toml")])[0].items == 2
    lines[1]["verdict"] = "maybe"
    (tmp_path / "visits.jsonl").write_text("\n\n".join(map(json.dumps, lines)) + "\n")
    with pytest.raises(InputError, match=r"visits.jsonl line 3 \(id 'y'\) field verdict: is 'maybe'"):
        load_task(tmp_path / "visits.toml")


@pytest.mark.parametrize(
    ("old", "new", "part"),
    [
        ('mode = "steerable"', 'mode = "sideways"', "field mode"),
        ('mode = "steerable"', 'mode = "overton"', "does not judge overton"),
        ('licence = "CC0-1.0"', "", "field licence"),
        ('licence = "CC0-1.0"', 'license = "CC0-1.0"', "field licen"),
        ('name = "kitchen/visits"', 'name = "../visits"', "field name"),
        ('text = "case"', 'txet = "case"', "names 'txet'"),
        ("[fields]", "[fields", "not valid TOML"),
    ],
)
def test_unusable_definitions_are_refused(tmp_path, old, new, part):
    (tmp_path / "own.toml").write_text(OWN.replace(old, new))
    with pytest.raises(InputError) as error:
        load_task(tmp_path / "own.toml")
    assert part in str(error.value)
    assert "own.toml" in error.value.field


def test_a_missing_definition_is_reported(tmp_path):
    with pytest.raises(InputError, match="cannot be read"):
        find_task(tmp_path / "none.toml")


def test_a_label_must_be_one_of_the_options():
    with pytest.raises(ValueError, match="is 2 with 1 options"):
        Item(id=1, mode="steerable", text="x", prompt="x", options=("Yes",), label=2)


def test_tasks_are_closed_records():
    with pytest.raises(ValueError, match="frozen"):
        next(iter(built_in_tasks().values())).name = "other"
    assert set(Task.model_fields) >= {"name", "file", "mode", "metric", "source", "licence"}
