"""Rooms: one folder per algorithm, all furnished alike."""
