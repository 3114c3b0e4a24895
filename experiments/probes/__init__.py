"""Measurements of models: probes, which see every evaluation batch, and functions."""
