"""The editor in the browser: `ufc app`."""
