"""Selection and answers in law, education, work and care; see `python -m benchmarks.domains -h`."""
