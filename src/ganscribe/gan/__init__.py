"""The GAN family: objectives, networks and the one training loop."""
