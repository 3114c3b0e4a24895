"""The science: questions, and the parts, tasks and probes that they are asked with."""
