"""Steering: reading activations, fitting directions, choosing magnitudes, applying shifts."""
