"""The network: tensor operations, layers, backbones, heads, losses, and the models built from them."""
