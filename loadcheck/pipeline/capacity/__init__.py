"""The highest rate at which everything holds."""
