"""Implementations of the commands: the data set doctor, converters, writers, the viewer, the report, and detection on files."""
