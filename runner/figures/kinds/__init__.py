"""A file for each kind of figure."""
