"""What the commands do: the data set doctor, converters, writers, the viewer, reports, prediction on files."""
