"""Files from elsewhere, read and written safely: images, JSON, XML, YAML, pickles, TFRecord, paths, downloads."""
