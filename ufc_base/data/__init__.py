"""Data sets: shards and folders as samples, shards read in passing."""
