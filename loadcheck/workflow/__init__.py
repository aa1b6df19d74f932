"""Arazzo documents compiled to plans, which do no I/O themselves."""
