"""Misbehaving on purpose, and the truth about it."""
