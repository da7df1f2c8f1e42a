"""How good the images of a GAN are."""
