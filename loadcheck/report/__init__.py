"""Formats results for people. Returns text or bytes; printing is up to the caller."""
