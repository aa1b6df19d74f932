"""Where events are kept: compact columns instead of objects, under 400 bytes for a user."""
