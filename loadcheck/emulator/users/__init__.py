"""Endpoints about single users and events: search, activity, export, deletion."""
