"""Environments: the interface, registration, and one adapter per outside library."""
