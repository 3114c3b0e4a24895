"""The board: every claim with its published value, our value and its verdict, from records."""
