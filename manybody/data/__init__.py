"""Rollouts, minibatches: where samples lie between collecting and learning."""
