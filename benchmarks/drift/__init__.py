"""What values that change do to directions, selection, comments and mixtures; see `python -m benchmarks.drift -h`."""
