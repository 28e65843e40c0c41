"""Algorithms: one folder each, with the same files."""
