"""Benchmarks: each measures both sides in one run and prints what it measured."""
