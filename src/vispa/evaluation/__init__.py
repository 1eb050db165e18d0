"""Judging answers: tasks (data sets), metrics with intervals, and coverage."""
