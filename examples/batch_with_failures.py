"""Many texts at once; what cannot be answered fails alone: `python examples/batch_with_failures.py`."""

import json

from vispa import Request, Vispa
from vispa.errors import InputError
from vispa.readers.base import Failure

vispa = Vispa.embedded()

# What no model could answer is refused before any work: the message names field, problem and advice.
try:
    vispa.respond_many([Request("Lying to my boss"), Request("Lying to my boss", mode="steerable")])
except InputError as error:
    print("refused:", error)

# Requests may differ in everything; their comments are rows of the same batches.
requests = [
    Request("Waking my neighbour at night", k=2),
    Request("word " * 3500, k=2),  # longer than what the model reads
    Request("Selling a car without naming its faults", values=("honor", "karma")),
    Request("Eating meat", mode="distributional", options="Right|Wrong", k=2),
]
failed = 0
for request, found in zip(requests, vispa.respond_many(requests, max_new_tokens=60), strict=True):
    if isinstance(found, Failure):
        failed += 1
        print(f"{request.text[:20]!r}: no answer. {found.reason}")
    else:
        record = found.model_dump(mode="json")
        print(f"{request.text[:20]!r}:", json.dumps(record["response"]), "by", record["provenance"]["model"])
assert failed == 1
