"""What a client sends to a server: JSON that fits."""

from __future__ import annotations

import json

import pytest

from vispa.serving import client as clients
from vispa.serving.settings import MAX_BODY


@pytest.mark.parametrize(
    ("lengths", "sent"),
    [
        ([10] * 20, [8, 8, 4]),
        ([300_000] * 5, [3, 2]),
        ([2_000_000, 10, 10], [1, 2]),
        ([600_000, 600_000, 10], [1, 2]),
        ([], []),
    ],
)
@pytest.mark.parametrize("letter", ["a", "é", "谎"])
def test_what_is_sent_together_fits(lengths: list[int], sent: list[int], letter: str) -> None:
    size = len(letter.encode())
    items = [{"text": letter * (length // size)} for length in lengths]
    packets = list(clients._packets(items, MAX_BODY - 100))
    assert [len(packet) for packet in packets] == sent and [one for packet in packets for one in packet] == items
    assert all(len(clients._json({"items": packet})) <= MAX_BODY or len(packet) == 1 for packet in packets)


@pytest.mark.parametrize("text", ["half \ud800", "\udcff", 'quote " and \\ud800', "谎\x00\n"])
def test_whatever_is_sent_is_json(text: str) -> None:
    assert json.loads(clients._json({"text": text})) == {"text": text}
