"""The real command line on the embedded model: answers, resumption, bad input."""

from __future__ import annotations

import contextlib
import json
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from fake_api import FakeApi, Reply, failed, said

COMMAND = [sys.executable, "-m", "vispa"]
TEXT = "Telling my grandmother a comforting lie about her illness"


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """An environment with a cache of its own, in which the bank is already fitted."""
    cache = tmp_path_factory.mktemp("cache")
    found = {**os.environ, "VISPA_CACHE": str(cache), "HF_HUB_OFFLINE": "1", "COLUMNS": "100"}
    subprocess.run([*COMMAND, "fit"], env=found, check=True, capture_output=True, timeout=600)
    return found


def run(environment: dict[str, str], *arguments: str, stdin: bytes | None = None) -> subprocess.CompletedProcess[str]:
    found = subprocess.run([*COMMAND, *arguments], env=environment, input=stdin, capture_output=True, timeout=300)
    return subprocess.CompletedProcess(found.args, found.returncode, found.stdout.decode(), found.stderr.decode())


# ---------------------------------------------------------------- respond


def test_respond_prints_values_comments_and_response(environment: dict[str, str]) -> None:
    found = run(environment, "respond", TEXT, "--k", "3")
    assert found.returncode == 0
    assert "Selected values" in found.stdout and "Response" in found.stdout
    assert found.stderr == ""


def test_respond_json_holds_everything(environment: dict[str, str]) -> None:
    answer = json.loads(run(environment, "respond", TEXT, "--json").stdout)
    assert answer["text"] == TEXT and answer["mode"] == "overton"
    scores = [value["score"] for value in answer["values"]]
    assert len(scores) == 6 and scores == sorted(scores, reverse=True)
    assert [c["value"] for c in answer["comments"]] == [v["value"] for v in answer["values"]]
    assert all(c["text"] and c["shift"] and all(s > 0 for s in c["shift"].values()) for c in answer["comments"])
    assert {s["text"] for s in answer["claims"][1:]} <= {
        sentence for c in answer["comments"] for sentence in [c["text"], *split(c["text"])]
    }
    provenance = answer["provenance"]
    assert provenance["model"] == "embedded" and provenance["sampling"]["seed"] is None
    assert {"python", "torch", "transformers", "vispa"} <= set(provenance["versions"])
    assert set(provenance["timings"]) == {"select", "comment", "aggregate"}


def split(text: str) -> list[str]:
    from vispa.models.sentences import split_sentences

    return split_sentences(text)


def test_the_same_request_gives_the_same_answer(environment: dict[str, str]) -> None:
    answers = [json.loads(run(environment, "respond", TEXT, "--json").stdout) for _ in range(2)]
    for answer in answers:
        del answer["provenance"]["timings"]
    assert answers[0] == answers[1]


def test_named_values_and_standard_input(environment: dict[str, str]) -> None:
    found = run(environment, "respond", "-", "--values", "Karma,honour", "--json", stdin=TEXT.encode())
    answer = json.loads(found.stdout)
    assert {value["value"] for value in answer["values"]} == {"karma", "honor"}


def test_respond_does_not_select_with_paper_polarity_silently(environment: dict[str, str]) -> None:
    own = json.loads(run(environment, "respond", TEXT, "--values", "toxicity", "--json").stdout)
    paper = json.loads(
        run(environment, "respond", TEXT, "--values", "toxicity", "--polarity", "paper", "--json").stdout
    )
    for name in ("bank", "taxonomy"):
        assert own["provenance"][name] != paper["provenance"][name]


def test_steerable_and_distributional(environment: dict[str, str]) -> None:
    found = run(environment, "respond", TEXT, "--mode", "steerable", "--toward", "honesty", "--json")
    answer = json.loads(found.stdout)
    assert answer["mode"] == "steerable" and [v["value"] for v in answer["values"]] == ["truthfulness"]
    assert answer["options"] == ["Support", "Oppose", "Either"] and answer["answer"] in ("A", "B", "C")
    options = ("--mode", "distributional", "--options", "Right|Wrong|Unsure")
    for more in ((), ("--no-passages",), ("--weights", '{"karma": 1, "honesty": 3}')):
        answer = json.loads(run(environment, "respond", TEXT, *options, *more, "--json").stdout)
        assert len(answer["distribution"]) == 3 and abs(sum(answer["distribution"]) - 1) < 1e-9
        assert len(answer["by_value"]) == len(answer["values"]) == len(answer["weights"])
    assert dict(zip([v["value"] for v in answer["values"]], answer["weights"], strict=True)) == {
        "truthfulness": 0.75,
        "karma": 0.25,
    }
    shown = run(environment, "respond", TEXT, *options)
    assert "Distribution" in shown.stdout and "%" in shown.stdout


def test_mixture_of_a_survey(environment: dict[str, str], tmp_path: Path) -> None:
    """Fit on a small survey, then answer with the fitted weights."""
    survey = [
        {
            "id": f"q{n}",
            "question": f"Question: Is {thing} right?\nOptions: A. Yes B. No\nAnswer:",
            "options": ["Yes", "No"],
            "gold_distribution": [0.2 + 0.1 * n, 0.8 - 0.1 * n],
            "attribute": "Chile",
        }
        for n, thing in enumerate(["lying", "feeding ducks", "stealing bread", "keeping a promise", "gambling"])
    ]
    (tmp_path / "survey.json").write_text(json.dumps(survey))
    arguments = ["mixture", str(tmp_path / "survey.json"), "-o", str(tmp_path / "mixture.json"), "--no-passages"]
    fitted = json.loads(run(environment, *arguments, "--values", "karma,honor,power", "--json").stdout)
    assert abs(sum(fitted["weights"].values()) - 1) < 1e-6
    assert fitted["distance"] <= fitted["distance_of_the_mean"] + 1e-9
    answers = run(
        environment, "batch", str(tmp_path / "survey.json"), "-o", str(tmp_path / "out.jsonl"),
        "--mode", "distributional", "--no-passages", "--weights", str(tmp_path / "mixture.json"), "--json",
    )  # fmt: skip
    assert answers.returncode == 0, answers.stderr
    lines = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert [line["id"] for line in lines] == [item["id"] for item in survey]
    assert all(line["mixture"] == "fitted" and set(line["prompts"]) <= {"karma", "honor", "power"} for line in lines)


# ---------------------------------------------------------------- select, values, fit


def test_select_one_and_many(environment: dict[str, str], tmp_path: Path) -> None:
    one = json.loads(run(environment, "select", TEXT, "--k", "4", "--json").stdout)
    assert len(one["values"]) == 4
    path = tmp_path / "texts.jsonl"
    path.write_text(
        json.dumps({"id": "a", "text": TEXT}) + "\n" + json.dumps({"id": 9, "text": "Feeding ducks"}) + "\n"
    )
    lines = [json.loads(line) for line in run(environment, "select", "--input", str(path)).stdout.splitlines()]
    assert [line["id"] for line in lines] == ["a", 9]
    assert lines[0]["values"][:4] == one["values"]


def test_values_lists_and_shows(environment: dict[str, str]) -> None:
    assert run(environment, "values").stdout.count("\n") >= 31
    shown = json.loads(run(environment, "values", "kindness", "--json").stdout)
    assert shown["slug"] == "benevolence" and len(shown["pairs"]) == 100


def test_help_has_examples(environment: dict[str, str]) -> None:
    for command in ("respond", "batch", "select", "values", "fit", "mixture", "inspect"):
        assert "Example" in run(environment, command, "--help").stdout


# ---------------------------------------------------------------- batch


def situations(folder: Path, count: int) -> Path:
    verbs = ["Selling", "Hiding", "Burning", "Sharing", "Mending", "Painting", "Losing", "Lending"]
    things = ["a boat", "the only key", "my late uncle's letters", "a bicycle that is not mine", "the last loaf"]
    rows = [
        {"id": 1000 - 7 * n, "situation": f"{verbs[n % 8]} {things[n % 5]} number {n}", "vrd": []} for n in range(count)
    ]
    path = folder / "situations.json"
    path.write_text(json.dumps(rows), encoding="utf-8")
    return path


def batch(environment: dict[str, str], source: Path, output: Path, *more: str) -> list[str]:
    return [*COMMAND, "batch", str(source), "-o", str(output), "--k", "2", "--max-new-tokens", "24", *more]


def test_batch_joins_by_identifier(environment: dict[str, str], tmp_path: Path) -> None:
    source = situations(tmp_path, 5)
    subprocess.run(batch(environment, source, tmp_path / "a.jsonl"), env=environment, check=True, capture_output=True)
    rows = json.loads(source.read_text())
    random.Random(1).shuffle(rows)
    shuffled = tmp_path / "shuffled.json"
    shuffled.write_text(json.dumps(rows))
    subprocess.run(batch(environment, shuffled, tmp_path / "b.jsonl"), env=environment, check=True, capture_output=True)
    answers = [
        {line["id"]: line for line in map(json.loads, (tmp_path / name).read_text().splitlines())}
        for name in ("a.jsonl", "b.jsonl")
    ]
    assert answers[0] == answers[1]
    assert {i: a["text"] for i, a in answers[0].items()} == {row["id"]: row["situation"] for row in rows}


#: How often a batch is stopped by each means.
ROUNDS = int(os.environ.get("VISPA_TEST_KILLS", "3"))


def size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def kill(process: subprocess.Popen[bytes], output: Path, moments: random.Random) -> None:
    """End the process at any moment: while it starts, or around and after it writes."""
    before, deadline = size(output), time.monotonic() + (120 if moments.random() < 0.8 else 3)
    while size(output) == before and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.01)
    time.sleep(moments.uniform(0, 0.5))
    process.send_signal(signal.SIGKILL)


def fill_the_disk(process: subprocess.Popen[bytes], output: Path, moments: random.Random) -> None:
    """From a moment on, no file of the process may grow beyond some place within the next lines of the output."""
    time.sleep(moments.uniform(0, 3))
    limit = size(output) + moments.randrange(100_000)
    with contextlib.suppress(ProcessLookupError):
        resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (limit, limit))


@pytest.fixture(scope="module")
def uninterrupted(environment: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, bytes]:
    """A file of items, and the output of a batch that nothing stopped."""
    folder = tmp_path_factory.mktemp("whole")
    source, whole = situations(folder, 80), folder / "whole.jsonl"
    subprocess.run(batch(environment, source, whole), env=environment, check=True, capture_output=True, timeout=300)
    return source, whole.read_bytes()


@pytest.mark.skipif(not hasattr(resource, "prlimit"), reason="limits of other processes are Linux's")
@pytest.mark.parametrize("stop", [kill, fill_the_disk])
def test_batch_survives(
    environment: dict[str, str],
    uninterrupted: tuple[Path, bytes],
    tmp_path: Path,
    stop: Callable[[subprocess.Popen[bytes], Path, random.Random], None],
) -> None:
    """Stopped at random moments, then resumed: the same bytes as an uninterrupted run."""
    (source, whole), torn = uninterrupted, tmp_path / "torn.jsonl"
    moments = random.Random(stop.__name__)
    for _ in range(ROUNDS):
        process = subprocess.Popen(
            batch(environment, source, torn), env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
        )
        stop(process, torn, moments)
        _, errors = process.communicate(timeout=300)
        found = torn.read_bytes() if torn.exists() else b""
        assert whole.startswith(found)
        if process.returncode == 1:
            assert b"cannot be written (File too large)" in errors and b"make room" in errors
            assert b"internal error" not in errors and (found == b"" or found.endswith(b"\n"))
        elif process.returncode != -signal.SIGKILL:
            assert (process.returncode, found) == (0, whole)
        if found.count(b"\n") == 80:
            # All is done; the next round begins anew.
            torn.unlink()
    subprocess.run(batch(environment, source, torn), env=environment, check=True, capture_output=True, timeout=300)
    assert torn.read_bytes() == whole
    assert len({json.loads(line)["id"] for line in whole.splitlines()}) == whole.count(b"\n") == 80


def test_batch_mends_a_torn_line(environment: dict[str, str], tmp_path: Path) -> None:
    source, output = situations(tmp_path, 4), tmp_path / "out.jsonl"
    subprocess.run(batch(environment, source, output), env=environment, check=True, capture_output=True)
    whole = output.read_bytes()
    output.write_bytes(whole[: len(whole) - 40])
    subprocess.run(batch(environment, source, output), env=environment, check=True, capture_output=True)
    assert output.read_bytes() == whole


def test_batch_ends_with_1_until_every_item_is_answered(environment: dict[str, str], tmp_path: Path) -> None:
    source, output = tmp_path / "items.jsonl", tmp_path / "out.jsonl"
    texts = ["Feeding the ducks", "Selling a boat", "Mending a fence"]
    source.write_text("".join(json.dumps({"id": n, "text": text}) + "\n" for n, text in enumerate(texts)))
    deaf_to = {texts[0], texts[2]}

    def reply(prompt: str, earlier: int) -> Reply:
        return failed(400, "no") if any(text in prompt for text in deaf_to) else said("It is said.")

    def run() -> tuple[int, dict[str, object], str]:
        command = [sys.executable, "-m", "vispa", "batch", str(source), "-o", str(output), "--json", "--k", "1"]
        command += ["--max-new-tokens", "8", "--aggregator", "api:m", "--api-url", api.url, "--api-key-variable", ""]
        found = subprocess.run(command, env=environment, capture_output=True, timeout=300, check=False)
        return found.returncode, json.loads(found.stdout), found.stderr.decode()

    with FakeApi(reply) as api:
        code, summary, errors = run()
        assert (code, summary["failed"], summary["answered_now"]) == (1, 2, 3)
        assert "2 of 3 items have no answer" in errors and "Repeat the command" in errors
        deaf_to.remove(texts[2])
        code, summary, _ = run()
        assert (code, summary["failed"], summary["answered_now"]) == (1, 1, 2)
        code, summary, _ = run()
        assert (code, summary["failed"], summary["answered_now"]) == (1, 1, 1)
        deaf_to.clear()
        code, summary, errors = run()
        assert (code, summary["failed"], errors) == (0, 0, "")
    lines = [json.loads(line) for line in output.read_text().splitlines()]
    assert [line["id"] for line in lines] == [0, 1, 2] and all(line["response"] == "It is said." for line in lines)


# ---------------------------------------------------------------- bad input


def corrupt_model(folder: Path) -> Path:
    from vispa.models.loading import EMBEDDED_PATH

    shutil.copytree(EMBEDDED_PATH, folder / "model")
    (folder / "model" / "model.safetensors").write_bytes(b"\x00" * 64)
    return folder / "model"


def test_bad_input_is_refused_clearly(environment: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "bad.jsonl").write_text('{"text": "a"}\n{"text": "b"\n')
    (tmp_path / "good.txt").write_text("Feeding ducks\n")
    (tmp_path / "latin.txt").write_bytes(b"caf\xe9\n")
    output = str(tmp_path / "out.jsonl")
    cases: list[tuple[list[str], bytes | None, str]] = [
        (["respond", ""], None, "text: is empty"),
        (["respond", "  \n "], None, "text: is empty"),
        (["respond", "-"], b"x" * 100_000, "100,000 characters"),
        (["respond", "-"], b"caf\xe9", "is not UTF-8"),
        (["respond", TEXT, "--values", "bravery2"], None, "is not in the taxonomy"),
        (["respond", TEXT, "--values", ","], None, "names no value"),
        (["respond", TEXT, "--k", "0"], None, "Choose from 1 to 31"),
        (["respond", TEXT, "--k", "99"], None, "Choose from 1 to 31"),
        (["respond", TEXT, "--k", "many"], None, "--k"),
        (["respond", TEXT, "--mode", "plural"], None, "mode"),
        (["respond", TEXT, "--mode", "steerable"], None, "toward: is missing"),
        (["respond", TEXT, "--options", "a|b"], None, "--options: has no effect in overton mode"),
        (["respond", TEXT, "--mode", "distributional", "--options", "a||b"], None, "options: hold an empty one"),
        (["respond", TEXT, "--mode", "distributional", "--weights", '{"karma": -1}'], None, "weights"),
        (["respond", TEXT, "--diversity", "3"], None, "diversity"),
        (["respond", TEXT, "--recipe", str(tmp_path / "bad.jsonl")], None, "is not valid TOML"),
        (["respond", TEXT, "--selector", "magic"], None, "Choose embedding or mpnet"),
        (["respond", TEXT, "--threshold", "2"], None, "threshold"),
        (["respond", TEXT, "--max-new-tokens", "0"], None, "max-new-tokens"),
        (["respond", TEXT, "--polarity", "up"], None, "Choose own or paper"),
        (["respond", TEXT, "--model", str(tmp_path / "nowhere")], None, "is not a folder"),
        (["respond", TEXT, "--model", str(tmp_path)], None, "holds no config.json"),
        (["respond", TEXT, "--model", str(corrupt_model(tmp_path))], None, "cannot be loaded"),
        (["respond", TEXT, "--taxonomy", str(tmp_path)], None, "holds neither"),
        (["select", TEXT, "--input", str(tmp_path / "good.txt")], None, "both given"),
        (["select", "--input", str(tmp_path / "latin.txt")], None, "is not UTF-8"),
        (["values", "nonsense"], None, "is not in the taxonomy"),
        (["batch", str(tmp_path / "bad.jsonl"), "-o", output], None, "bad.jsonl line 2: is not valid JSON"),
        (["batch", str(tmp_path / "missing.json"), "-o", output], None, "cannot be read"),
        (["batch", str(tmp_path / "good.txt"), "-o", "/proc/none/out.jsonl"], None, "cannot be written"),
        (["nonsense"], None, "nonsense"),
    ]
    before = sorted(path.name for path in tmp_path.iterdir())
    for arguments, stdin, message in cases:
        found = run(environment, *arguments, stdin=stdin)
        assert found.returncode == 2, (arguments, found.stderr)
        assert message in found.stderr, (arguments, found.stderr)
        assert "Traceback" not in found.stderr, arguments
        assert found.stdout == "", arguments
    assert sorted(path.name for path in tmp_path.iterdir()) == before


def test_other_output_is_not_overwritten(environment: dict[str, str], tmp_path: Path) -> None:
    source, output = situations(tmp_path, 2), tmp_path / "out.jsonl"
    output.write_text("precious\n")
    found = subprocess.run(batch(environment, source, output), env=environment, capture_output=True)
    assert found.returncode == 2 and b"was not begun by this command" in found.stderr
    assert output.read_text() == "precious\n"


def test_other_settings_do_not_continue(environment: dict[str, str], tmp_path: Path) -> None:
    source, output = situations(tmp_path, 2), tmp_path / "out.jsonl"
    subprocess.run(batch(environment, source, output), env=environment, check=True, capture_output=True)
    sampled = batch(environment, source, output, "--temperature", "0.8", "--seed", "5")
    found = subprocess.run(sampled, env=environment, capture_output=True)
    assert (
        found.returncode == 2
        and b"was begun with other seed (not given, now 5), temperature (not given, now 0.8), top_p" in found.stderr
    )
    # Greedy texts have no seed.
    assert "seed" not in Path(f"{output}.settings.json").read_text()
    found = subprocess.run(batch(environment, source, output, "--seed", "5"), env=environment, capture_output=True)
    assert found.returncode == 2 and b"--seed: has no effect at --temperature 0" in found.stderr


def test_debug_shows_the_traceback(environment: dict[str, str]) -> None:
    found = run(environment, "--debug", "respond", "")
    assert found.returncode != 0 and "Traceback" in found.stderr
