"""The classifiers: images (N, C, 28, 28) or (N, C, 32, 32) in [-1, 1] -> class scores (N, num_classes).

Each file of `networks` is one network, and adding a file adds a network. It has a function `build`, whose keyword
arguments with a default are the network's options; what it builds has `features(x)`, the input of the last linear
layer, and that layer as `classifier`. The file may say two things more:

- `HEAD_WEIGHTS`, (1.0,) where it is missing: where there are several, the network in training mode returns a tuple
  of class scores, its own and then those of its auxiliary heads, and each one's cross-entropy counts by its weight.
- `CHANNELS_LAST`, True where it is missing: whether the filters lie in this layout, and with them all maps, which
  is 3 to 45% faster on a CPU.
"""

from ganscribe.convnets.common.building import build, load_classifier

__all__ = ["build", "load_classifier"]
