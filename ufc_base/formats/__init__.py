"""Files that may be hostile: archives, containers, pickles, JSON and YAML, read within bounds."""
