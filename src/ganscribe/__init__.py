"""ganscribe: a reproducible pipeline for GANs, small convnets and attention captioners."""

import os

__version__ = "0.1.0"

# OpenMP's threads wait for each other by going round in circles. Beside any other busy process that makes a training
# two to thirty times slower; put to sleep at once they need a third more time on an idle machine. So they go round a
# few thousand times, some microseconds, and then sleep (docs/results.md). The library reads this once, when torch
# loads it; other OpenMPs than GNU's read the first of the two only.
if "OMP_WAIT_POLICY" not in os.environ:
    os.environ["OMP_WAIT_POLICY"] = "passive"
    os.environ.setdefault("GOMP_SPINCOUNT", "3000")
