"""The report of a run: an HTML page with its configuration, environment, curves, metrics and worst images."""
