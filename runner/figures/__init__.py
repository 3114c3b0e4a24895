"""From records to pictures; never touches a model.

`figure.py` says what all figures share, `kinds/` has a file for each kind, and `draw.py` draws
those of a study. Planning a run reads figures and draws none, so that it imports no matplotlib.
"""
