"""The commands besides a run, one file each; `runner.__main__.VERBS` lists them. No torch."""
