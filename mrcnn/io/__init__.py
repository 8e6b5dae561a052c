"""Reading and writing files that strangers wrote, safely: images, JSON, XML, YAML, pickles, TFRecord, paths, downloads."""
