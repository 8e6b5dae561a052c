"""The report of a run: an HTML page with its configuration, environment, loss curves, metrics and worst images."""
