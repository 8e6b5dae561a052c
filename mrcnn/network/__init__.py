"""The network: operations, layers, backbones, heads, losses, and the assembly that reads like the paper."""
