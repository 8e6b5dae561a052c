"""Pages that show a data set: counts, charts and annotated images."""
