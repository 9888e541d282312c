"""The one import of xgboost, without scikit-learn."""

from __future__ import annotations

import sys

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
