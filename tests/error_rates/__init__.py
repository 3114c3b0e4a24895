"""How often an answer is wrong, by simulation: `python -m tests.error_rates [--quick]`.

The rules are not written again here: studies without an effect, or with a known one, are drawn and
handed to the functions that decide in the product (`runner.stats.standing.decide_standings`, `judge`).
"""
