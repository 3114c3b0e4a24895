"""Tests of runner/inventory."""
