"""Which values matter for a text."""
