"""The mixture of experts: the layer, the record of its choices, and how tokens reach experts."""
