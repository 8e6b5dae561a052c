"""The viewer: what a data set contains, as counts, charts and annotated images."""
