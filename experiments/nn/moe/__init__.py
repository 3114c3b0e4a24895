"""The mixture of experts: the layer, the routing of tokens, and their dispatch to experts."""
