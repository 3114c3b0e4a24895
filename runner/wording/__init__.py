"""The wording of names, numbers and messages."""
