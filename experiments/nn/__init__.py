"""Parts of Transformers; imports torch and the options only, so that other projects can use it."""
