"""What every test shares: how hypothesis draws its examples, and the seed of torch."""

import pytest
import torch
from hypothesis import settings

# No deadline: the first call of a torch kernel is slow, and so is a busy machine. The same examples in every run: a
# failure that one machine sees, another one sees too.
settings.register_profile("netcaliper", deadline=None, derandomize=True, print_blob=True)
settings.load_profile("netcaliper")

SEED = 0
torch.manual_seed(SEED)  # of what modules draw while they are collected


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup() -> None:
    """Seed torch before the fixtures of every test: by itself it draws its seed anew in every process."""
    torch.manual_seed(SEED)
