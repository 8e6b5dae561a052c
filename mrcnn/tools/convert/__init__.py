"""Conversions: converting data sets between formats, splitting them, and building data sets from others."""
