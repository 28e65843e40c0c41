"""Environments: the contract, registration, and one adapter per outside world."""
