"""Modules of other people's packages, each brought into ablab with a few lines."""
