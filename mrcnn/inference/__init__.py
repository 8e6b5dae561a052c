"""From images to network input, and from network output to instances of the original images."""
