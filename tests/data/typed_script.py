"""What a type checker knows of the API: every line that reveals a type is read by a test."""

from pathlib import Path
from typing import reveal_type

import numpy as np
import torch
from PIL import Image

import vsrpp_cli
from vsrpp_cli import Progress, StopToken, UpscaleOptions, Upscaler, available_models, upscale

options = UpscaleOptions(model=Path("a.pth"), scale=2, start="0:01", memory_limit="8G", tile=256)
with Upscaler("compact", memory_limit="8G") as upscaler:
    reveal_type(upscaler.scale)
    reveal_type(upscaler.upscale_frames([np.zeros((9, 9, 3), np.uint8)]))
    reveal_type(upscaler.upscale_frames(torch.zeros(3, 9, 9) for _ in range(2)))
    reveal_type(upscaler.upscale_frames(torch.zeros(2, 3, 9, 9)))
    reveal_type(list(upscaler.upscale_frames([Image.new("RGB", (9, 9))])))
    reveal_type(upscaler.upscale_video("a.mp4", Path("b.mp4")).frames)
    reveal_type(upscaler.events[0].text)
reveal_type(options.start)
reveal_type(available_models())
reveal_type(upscale("a.mp4", "b.mp4", options, on_progress=print, stop=StopToken()).size)
reveal_type(Progress(phase="scan", done=1, total=None).total)
reveal_type(vsrpp_cli.InputError("no").exit_code)
