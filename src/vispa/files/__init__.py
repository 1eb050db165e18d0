"""Reading, writing, appending and caching files."""
