"""Generators and discriminators: one file per pair, found by its name."""

from ganscribe.gan.common.networks import build_discriminator, build_generator

__all__ = ["build_discriminator", "build_generator"]
