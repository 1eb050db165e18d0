"""Values and their contrastive pairs."""

from vispa.taxonomy.pairs import ContrastivePair
from vispa.taxonomy.taxonomy import Taxonomy
from vispa.taxonomy.value import Polarity, Value

__all__ = ["ContrastivePair", "Polarity", "Taxonomy", "Value"]
