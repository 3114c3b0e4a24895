"""Files on disk: trials, their status and digests, curves, event files, locks. No torch."""
