"""Answers while they are made: what happens is told, and the work can be stopped."""
