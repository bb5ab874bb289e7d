"""Networks so small that computing with them costs nothing, and frames for them."""

from dataclasses import replace

import numpy as np
import torch

from support.clips import TINY
from vsrpp_cli.network.basicvsrpp import BasicVSRPP
from vsrpp_cli.streaming.storage import OnHost

TINY_SAME_SIZE = replace(TINY, same_size=True)


def tiny_network(config=TINY, seed=1):
    torch.manual_seed(seed)
    return BasicVSRPP(config).eval().requires_grad_(False)


def moving_frames(count, width=64, height=64, seed=0):
    y, x = np.mgrid[:height, :width].astype(np.float32)
    made = []
    for i in range(count):
        planes = [np.sin((x + i) / 5 + c) * np.cos((y - 0.5 * i) / (6 + c)) for c in range(3)]
        made.append((np.stack(planes) * 0.4 + 0.5).astype(np.float32))
    return made


class Failing(BasicVSRPP):
    """A network whose extraction fails in some way at some calls."""

    def __init__(self, config, fail):
        super().__init__(config)
        self.fail = fail

    def __deepcopy__(self, memo):
        other = Failing(self.config, self.fail)
        other.load_state_dict(self.state_dict())
        return other

    def extract(self, frames):
        return self.fail(super().extract(frames), frames)


def failing(fail):
    torch.manual_seed(1)
    return Failing(TINY, fail).eval().requires_grad_(False)


class Scrambled(OnHost):
    """Keeps tensors with every bit inverted: computing with one that was not got back shows."""

    def __init__(self):
        super().__init__(torch.device("cpu"))
        self.puts = 0

    def put(self, tensor):
        self.puts += 1
        return inverted(super().put(tensor))

    def get(self, tensor):
        return super().get(inverted(tensor))


def inverted(tensor):
    bits = torch.int32 if tensor.element_size() == 4 else torch.int16
    return tensor.view(bits).bitwise_not().view(tensor.dtype)
