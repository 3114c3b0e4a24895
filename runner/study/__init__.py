"""From a plan to finished trials: which are missing, the processes that compute them. No torch."""
