"""Pictures compared one with one."""
