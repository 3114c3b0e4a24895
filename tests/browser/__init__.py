"""Report pages in Chromium: checks of each page as a reader meets it, and pictures of it."""
