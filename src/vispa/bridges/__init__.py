"""Bridges to other evaluation frameworks; each needs its framework installed."""
