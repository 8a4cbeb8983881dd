"""What wraps a model is taken off; a LightningModule is a model like any other."""

from collections.abc import Callable

import pytest
import torch
from torch import nn

import netcaliper as nc
from netcaliper.trace.wrappers import unwrapped
from timm_models import import_transformers


def model() -> nn.Sequential:
    torch.manual_seed(7)
    return nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 2)).eval()


@pytest.mark.parametrize("wrap", [nn.DataParallel, torch.compile, lambda m: torch.compile(nn.DataParallel(m))])
def test_wrappers_are_taken_off(wrap: Callable[[nn.Module], nn.Module]) -> None:
    inside = model()
    assert unwrapped(wrap(inside)) is inside
    graph = nc.trace(wrap(inside), torch.randn(3, 4))
    assert graph.model is inside
    assert [site.name for site in graph.sites] == ["1"]
    assert graph.name == "Sequential"


def test_a_wrapper_of_several_processes_is_taken_off(tmp_path) -> None:
    store = torch.distributed.FileStore(str(tmp_path / "store"), 1)
    torch.distributed.init_process_group("gloo", rank=0, world_size=1, store=store)
    try:
        inside = model()
        assert unwrapped(nn.parallel.DistributedDataParallel(inside)) is inside
    finally:
        torch.distributed.destroy_process_group()


def test_a_twin_may_be_wrapped_too() -> None:
    data = list(torch.randn(80, 4).split(40))
    reading = nc.measure(nn.DataParallel(model()), data, twin=lambda: nn.DataParallel(other()))
    assert reading.twin is not None
    assert reading.twin.kind == "factory"


def other() -> nn.Module:
    return nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 2)).eval()


def test_a_lightning_module_is_read_as_it_is() -> None:
    try:
        import_transformers()  # makes torchvision importable, which lightning's metrics look for
        lightning = pytest.importorskip("lightning")
    except (ImportError, RuntimeError) as error:
        pytest.skip(f"lightning cannot be imported here: {error}")

    class Lit(lightning.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.net, self.loss = model(), nn.MSELoss()

        def forward(self, x):
            return self.net(x)

        def training_step(self, batch, number):
            return self.loss(self(batch[0]), batch[1])

        def configure_optimizers(self):
            return torch.optim.SGD(self.parameters(), 0.1)

    lit, x, y = Lit().train(), torch.randn(80, 4), torch.randn(80, 2)
    trainer = lightning.Trainer(max_epochs=1, accelerator="cpu", barebones=True)
    trainer.fit(lit, torch.utils.data.DataLoader(torch.utils.data.TensorDataset(x, y), batch_size=40))
    lit.eval()
    before = {name: tensor.clone() for name, tensor in lit.state_dict().items()}
    reading = nc.measure(lit, [(x, y)], twin=Lit)
    assert [site.name for site in reading.sites] == ["net.1"]
    assert reading.network.agreement is not None
    assert reading.provenance.model == "Lit"
    assert lit.trainer is trainer
    assert all(torch.equal(tensor, before[name]) for name, tensor in lit.state_dict().items())
