"""Timed by hand: each prints what it measured as JSON lines."""
