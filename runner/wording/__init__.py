"""Names, numbers and messages in words."""
