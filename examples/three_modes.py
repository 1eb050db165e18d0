"""The three modes on one text: `python examples/three_modes.py`."""

from vispa import Vispa

TEXT = "Reading my daughter's messages without telling her"

vispa = Vispa.embedded()

overton = vispa.respond(TEXT, k=3)
print("All together:", overton.response)

# Toward a value one comment is made; toward a right in words, or a group, the comment that fits best is picked.
for target in ("benevolence", "The right to privacy"):
    steerable = vispa.respond(TEXT, mode="steerable", toward=target, k=3)
    print(f"From {target}:", steerable.response, [round(share, 2) for share in steerable.distribution or ()])

distributional = vispa.respond(TEXT, mode="distributional", options=("Right", "Wrong", "Unsure"), k=3)
for option, share in zip(distributional.options, distributional.distribution, strict=True):
    print(f"{option}: {share:.0%}")
