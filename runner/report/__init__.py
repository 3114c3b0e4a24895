"""From trials to records, and from records to the page, the tables and TensorBoard."""
