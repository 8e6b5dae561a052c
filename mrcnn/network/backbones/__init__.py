"""Feature extractors and the pyramid on top of them (ring 1)."""
