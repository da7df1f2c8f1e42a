"""The experiments of 1701.04862 and 1701.07875 that explain why the Wasserstein form works."""

# The runs whose critics are held against the quality of their generators, and the one compared with them.
WASSERSTEIN_RUNS = ("wgan", "wgan_mlp", "wgan_nobn", "wgan_adam", "wgan_gp")
COMPARED_RUN = "gan"  # its loss stands for the Jensen-Shannon divergence
