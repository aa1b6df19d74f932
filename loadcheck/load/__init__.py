"""Copies of a workflow, started when they are due, over the network."""
