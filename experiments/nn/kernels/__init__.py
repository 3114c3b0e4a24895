"""Softmax attention computed in three ways, behind one signature; see `kernel`."""
