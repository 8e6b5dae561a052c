"""The viewer: the contents of a data set as counts, charts and annotated images."""
