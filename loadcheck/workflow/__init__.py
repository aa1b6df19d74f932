"""Arazzo documents compiled to plans that need no network to run."""
