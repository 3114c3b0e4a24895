"""Figures of a study, drawn from its records without a model.

`figure.py` has the parts that all figures share, `kinds/` a file for each kind, and `draw.py`
draws the figures of a study. Planning a run reads figures without drawing or importing matplotlib.
"""
