"""The one import of xgboost, without scikit-learn."""

from __future__ import annotations

import os
import sys

# OpenMP's threads burn their processor while they wait for each other; on shared processors, and under a
# container's quota, that made training ten times slower. It is read when the library is loaded.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

# xgboost imports scikit-learn where it is installed, for wrappers that we do not use: 4 of the 5 seconds that a
# server or a pod would take to start, and 80 MB. A None in sys.modules makes that import fail, as if absent.
_ABSENT = "sklearn" not in sys.modules
if _ABSENT:
    sys.modules["sklearn"] = None  # type: ignore[assignment]
try:
    import xgboost
finally:
    if _ABSENT:
        del sys.modules["sklearn"]

__all__ = ["xgboost"]
