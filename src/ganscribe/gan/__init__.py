"""The GAN family: objectives and networks, one file each, and the one training loop that takes them all."""
