"""The shape annotations are checked while the tests run, not only written down."""

from __future__ import annotations

import jaxtyping
import pytest
import torch

from rnnpose_ros.geometry import se3


def test_a_wrong_shape_is_refused_so_the_annotations_of_all_tests_are_checked():
    with pytest.raises(jaxtyping.TypeCheckError, match="inverse"):
        se3.inverse(torch.eye(3).expand(2, 3, 3))
