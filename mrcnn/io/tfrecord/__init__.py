"""TFRecord files and the `tf.train.Example` in them, written and read without TensorFlow."""
