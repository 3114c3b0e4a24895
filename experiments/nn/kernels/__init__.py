"""Three kernels of softmax attention with the same signature; see `kernel`."""
