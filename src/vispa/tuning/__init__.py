"""Choosing how a model is steered: which directions, where and how far."""
