"""ganscribe: a reproducible pipeline for GANs, small convnets and attention captioners."""

__version__ = "0.1.0"
