"""Greedy decoding with cached keys and values, and its naive twins."""
