"""Writers: a data set of any format, or what a network found, as files of another format."""
