"""Safe input and output for untrusted files: images, JSON, XML, YAML, pickles, TFRecord, paths, downloads."""
