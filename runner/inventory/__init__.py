"""The contents of a folder of outputs, and the deletion of trials that no run needs. No torch."""
