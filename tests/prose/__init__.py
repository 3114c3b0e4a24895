"""The checker of the project's prose: banned words, long sentences, names, missing comments."""
