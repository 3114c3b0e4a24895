"""Tests of `runner.compare`."""
