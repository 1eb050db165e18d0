"""Steering against fine-tuning: low-rank adapters, one a value, beside vectors; see `__main__`."""
