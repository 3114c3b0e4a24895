"""The README's commands as a stranger types them, in a fresh environment."""
