"""The sections of each page, apart from how they are drawn."""
