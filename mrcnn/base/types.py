"""Names of types that several packages annotate with."""

from collections.abc import Sequence
from typing import SupportsFloat, TypeAlias

import numpy.typing as npt

# Numbers as users write them: one, a list, a tuple or an array. Checked at run time, npt.ArrayLike refuses tuples.
Numbers: TypeAlias = npt.ArrayLike | Sequence[SupportsFloat]
