"""Runtime expressions, templates and conditions, parsed once and evaluated many times."""
