"""ganscribe: a reproducible pipeline for GANs, small convnets and attention captioners."""

import os

__version__ = "0.1.0"

# OpenMP's threads wait for each other by going round in circles. Beside any other busy process that makes a training
# five to thirty times slower; asleep, they lose nothing that could be measured (docs/results.md). The library reads
# this once, when torch loads it.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
