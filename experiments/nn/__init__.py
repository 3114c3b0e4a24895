"""Modules of Transformers, usable by other projects: they import only torch and jaxtyping."""
