"""Conversions that are no plain reading and writing: several files made into one set, or a set into shards."""
