"""Uploads: their fields, their limits, and what is said to those refused."""
