"""Tasks: data, loss, and what one sample looks like."""
