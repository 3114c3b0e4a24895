"""From records to pictures; never touches a model."""
