"""Conversions: a data set of any format as another format, whole or split, and builders of data sets out of others."""
