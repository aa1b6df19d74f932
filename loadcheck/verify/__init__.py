"""The service is asked what it counted, and its answer is put against what was sent."""
