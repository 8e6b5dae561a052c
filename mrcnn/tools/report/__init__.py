"""The report of a run: one HTML page of its configuration, environment, curves, figures and worst images."""
