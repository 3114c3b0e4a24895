"""From the command line to signed arms."""
