"""Report pages in Chromium: checks of what a reader sees, and pictures to look at."""
