"""Sweeps through the launchers' real engines; each test skips where its engine is not installed."""
