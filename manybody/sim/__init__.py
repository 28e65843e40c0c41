"""Batched physics: the ``Simulation`` protocol and its backends."""
