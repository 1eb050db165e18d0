"""Causal language models: loading them, finding their decoder blocks, telling them apart."""
