"""Trained policies outside training."""
