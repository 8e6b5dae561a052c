"""Writers: a data set of any format, or detections, as files of another format."""
