"""How often an answer is wrong, by simulation: `python -m tests.error_rates [--quick]`.

The simulation draws studies without an effect, or with a known one. It calls the project's own
deciding functions (`runner.stats.standing.decide_standings`, `judge`).
"""
