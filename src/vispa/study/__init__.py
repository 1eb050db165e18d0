"""Studying a bank and how a model steered with it behaves: tables, figures, and the files they are kept in."""
