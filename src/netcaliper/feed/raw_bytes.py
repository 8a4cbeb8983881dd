"""The bytes of a tensor."""

import torch
from jaxtyping import Shaped, UInt8
from torch import Tensor


def raw_bytes(tensor: Shaped[Tensor, "..."]) -> UInt8[Tensor, " bytes"]:
    """Return the bytes of a tensor of any type in order of its entries; of a contiguous one without a copy."""
    flat = tensor.detach().contiguous().reshape(-1)
    # a single entry of a column counts as contiguous but keeps the stride of the column, which no view of bytes takes
    return flat.as_strided((flat.numel(),), (1,)).view(torch.uint8)
