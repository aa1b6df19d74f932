"""From a description to a program: requests rendered to byte templates, criteria parsed."""
