"""Other languages than English: what is recognised and selected; see `python -m benchmarks.languages -h`."""
