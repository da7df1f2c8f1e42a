"""The experiments of 1701.04862 and 1701.07875 that explain why the Wasserstein form works."""
