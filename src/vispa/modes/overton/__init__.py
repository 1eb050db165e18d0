"""Overton mode: one response from all comments (section 3.3 of the paper)."""
