"""What the two players minimise: one file per objective, found by its name."""

from ganscribe.gan.common.objective import Objective, build_objective

__all__ = ["Objective", "build_objective"]
