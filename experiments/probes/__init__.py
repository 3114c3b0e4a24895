"""Measures used on models."""
