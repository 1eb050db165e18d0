"""Which values matter for a text, and an answer that reflects them: `python examples/select_and_respond.py`."""

from vispa import Vispa

TEXT = "Telling my grandmother a comforting lie about her illness"

vispa = Vispa.embedded()  # or Vispa.from_pretrained("./my-llama")
answer = vispa.respond(TEXT, k=4)

print("Values:", ", ".join(f"{one.value} ({one.score:.2f})" for one in answer.values))
for comment in answer.comments:
    where = ", ".join(f"block {block}: {length:.0f}" for block, length in comment.shift.items())
    print(f"{comment.value} (shifted by {where}; leans to {comment.leaning}): {comment.text}")
print("Response:", answer.response)
# Each sentence says which comments it comes from.
assert all(claim.supported for claim in answer.claims if claim.values)
