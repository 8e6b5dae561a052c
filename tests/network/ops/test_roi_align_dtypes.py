"""Tables of bools and integers are sampled as float32, without a float copy of the table."""
import numpy as np
import pytest
from keras import ops

from mrcnn.network.ops.roi_align import sample_crops


@pytest.mark.parametrize("dtype", ["bool", "uint8", "int32", "float32"])
def test_table_of_any_dtype_gives_float32(dtype):
    # one map of 2 x 3 cells: 1 0 1 above 0 0 1
    table = ops.convert_to_tensor(np.array([1, 0, 1, 0, 0, 1], dtype).reshape(-1, 1))
    at = [np.array([v], np.int32) for v in (0, 2, 3)]
    crops = sample_crops(table, *map(ops.convert_to_tensor, at), ops.convert_to_tensor([[0.0, 0.0, 1.0, 1.0]]), (3, 5))
    expected = [[1, 0.5, 0, 0.5, 1], [0.5, 0.25, 0, 0.5, 1], [0, 0, 0, 0.5, 1]]
    np.testing.assert_allclose(ops.convert_to_numpy(crops)[0, :, :, 0], expected, atol=1e-6)
