from typing import Any

import torch
from torch import nn

from netcaliper.feed.fingerprint import DataFingerprint, model_fingerprint
from netcaliper.trace.batches import batches


def fingerprint(data):
    digest = DataFingerprint()
    for batch in batches(data):
        digest.update(batch)
    return digest.finish()


def test_the_batches_do_not_matter_but_every_byte_and_the_order_do():
    x = torch.randn(20, 3, generator=torch.Generator().manual_seed(0))
    same = fingerprint([x])
    assert fingerprint(list(x.split(7))) == same
    assert fingerprint(list(zip(x.split(7), torch.arange(20).split(7), strict=True))) == same
    changed = x.clone()
    changed[13, 1] = torch.nextafter(changed[13, 1], torch.tensor(9.0))
    assert fingerprint([x[:1, 0]]) == fingerprint([torch.tensor([x[0, 0].item()])])  # one entry of a column: stride 3
    others = [[changed], [x.flip(0)], [x.double()], [x.reshape(20, 1, 3)], [x[:19]], [{"x": x}]]
    assert len({same, *map(fingerprint, others)}) == 7


def test_the_model_counts_by_names_types_shapes_and_bytes():
    torch.manual_seed(0)
    model: Any = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4))
    first = model_fingerprint(model.state_dict())
    assert model_fingerprint(model.state_dict()) == first
    renamed = {f"x{name}": tensor for name, tensor in model.state_dict().items()}
    reshaped = {name: tensor.reshape(-1) for name, tensor in model.state_dict().items()}
    cast = {name: tensor.to(torch.bfloat16) for name, tensor in model.state_dict().items()}
    with torch.no_grad():
        model[1].running_mean[2] += 1e-7
    moved = model_fingerprint(model.state_dict())
    assert len({first, moved, *map(model_fingerprint, (renamed, reshaped, cast))}) == 5
