"""The README's commands as a new user types them, in a fresh environment."""
