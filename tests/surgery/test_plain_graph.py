"""The exported graph as a module of its own."""

import torch
from torch import nn

import netcaliper as nc
from netcaliper.surgery.plain_graph import plain_graph
from netcaliper.zoo.decoder import Decoder


class Settings(nn.Module):
    def __init__(self):
        super().__init__()
        self.a = nn.Linear(4, 3)

    def forward(self, x, use_cache=True, shift=None):
        return {"y": self.a(x).to(torch.float32) + (0.0 if shift is None else shift), "same": x}


def test_inputs_outputs_and_ties_are_those_of_the_model():
    model = Decoder(8, 1, 2, vocabulary=11, length=8, tied=True).eval()
    batch = {"input_ids": torch.randint(0, 11, (2, 6)), "attention_mask": torch.ones(2, 6, dtype=torch.long)}
    module = plain_graph(nc.trace(model, batch)).module()
    more = {key: value.repeat(2, 1)[:3, :4] for key, value in batch.items()}
    torch.testing.assert_close(module(**more), model(**more))
    names = dict(module.named_parameters(remove_duplicate=False))
    assert len(list(module.parameters())) == len(list(model.parameters()))
    assert set(names) <= set(model.state_dict())
    assert not any(a.data_ptr() == b.data_ptr() for a in module.parameters() for b in model.parameters())


def test_keyword_settings_leave_the_signature():
    model, x = Settings().eval(), torch.randn(2, 4)
    module = plain_graph(nc.trace(model, {"x": x, "shift": torch.ones(2, 3)})).module()
    output = module(x=x, shift=torch.zeros(2, 3))
    torch.testing.assert_close(output["y"], model(x)["y"])
    assert torch.equal(output["same"], x)


def test_one_dtype_throughout():
    model, x = Settings().eval(), torch.randn(2, 4)
    module = plain_graph(nc.trace(model, {"x": x})).module(torch.float64)
    assert module(x=x.double())["y"].dtype == torch.float64


def test_new_tensors_get_free_names_and_keep_them_if_they_can():
    plain = plain_graph(nc.trace(Settings().eval(), {"x": torch.randn(2, 4)}))
    last = next(node for node in plain.graph.nodes if node.name == "linear")
    with plain.graph.inserting_before(last):
        node = plain.constant("a.weight", torch.zeros(3, 4, dtype=torch.float64), torch.float32, trained=True)
    assert node.target == "a.weight_2"
    last.args = (last.args[0], node, *last.args[2:])
    plain.tidy()
    assert node.target == "a.weight"
    weight = plain.module().get_parameter("a.weight")
    assert not weight.any()
    assert weight.dtype == torch.float32
