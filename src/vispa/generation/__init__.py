"""Rows in, texts out."""
