"""Type aliases shared by several packages."""

from collections.abc import Sequence
from typing import SupportsFloat, TypeAlias

import numpy.typing as npt

# Numbers as users write them: one, a list, a tuple or an array. The run-time type check of npt.ArrayLike rejects tuples.
Numbers: TypeAlias = npt.ArrayLike | Sequence[SupportsFloat]
