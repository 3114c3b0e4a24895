"""The report of a run: its records, page, tables and TensorBoard files."""
