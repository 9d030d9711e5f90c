"""Float64 throughout: transformers computes RMSNorm, RoPE and some softmaxes in float32 whatever the model's dtype.

For a reference that is a rounding error: RoPE angles alone are off by position x 6e-8.
"""

from contextlib import contextmanager

import torch
from torch.overrides import TorchFunctionMode


def _widened(value):
    return torch.float64 if value is torch.float32 else value


class _Float64Everywhere(TorchFunctionMode):
    def __torch_function__(self, func, types, args=(), kwargs=None):
        if func is torch.Tensor.float:
            return args[0].double()
        widened = {key: _widened(value) for key, value in (kwargs or {}).items()}
        return func(*map(_widened, args), **widened)


@contextmanager
def float64_everywhere():
    """Inside, every cast to float32 and every tensor created in float32 is float64 instead."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        with _Float64Everywhere():
            yield
    finally:
        torch.set_default_dtype(before)
