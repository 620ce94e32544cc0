"""What every test shares: one torch thread, and where real images lie if they are present."""

import os

import pytest
from hypothesis import settings

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("HF_HUB_OFFLINE", "1")

settings.register_profile("shared", deadline=None)  # a loaded machine is no failure
settings.load_profile("shared")


@pytest.fixture(autouse=True, scope="session")
def one_thread():
    """Keep torch to one thread: the small tests run faster, and repeat to the last bit."""
    import torch

    torch.set_num_threads(1)
