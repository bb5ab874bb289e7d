"""The training loop: forward, loss, backward and Adam; recorded and resumable."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from vsrpp_cli.checkpoints.load import load_network
from vsrpp_cli.errors import InputError, ResumeRefusedError, RunError, UsageError
from vsrpp_cli.network.basicvsrpp import BasicVSRPP
from vsrpp_cli.network.config import NetworkConfig, SpynetConfig
from vsrpp_cli.network.warp import warp
from vsrpp_cli.records import from_json, to_json
from vsrpp_cli.training import curves, losses
from vsrpp_cli.training.curves import Row
from vsrpp_cli.training.material.sampler import Batch, Pack, Sampler
from vsrpp_cli.training.networks import TrainedNetwork
from vsrpp_cli.training.processes import Processes
from vsrpp_cli.training.recipe import Recipe, Stage, StageKind
from vsrpp_cli.training.state import Average, export, load_state, save_state
from vsrpp_cli.training.validation import validate

OnRow = Callable[[Row], None]


@dataclass(frozen=True)
class Places:
    """The files of a run, all in one folder."""

    folder: Path

    @property
    def state(self) -> Path:
        """All that is needed to continue."""
        return self.folder / "state.pt"

    @property
    def record(self) -> Path:
        """The CSV of losses."""
        return self.folder / "log.csv"

    @property
    def picture(self) -> Path:
        """The curves."""
        return self.folder / "curves.svg"

    @property
    def weights(self) -> Path:
        """The averaged weights, a checkpoint like any other."""
        return self.folder / "weights.safetensors"


@dataclass
class _Sums:
    """Sums over the steps of a row of the record."""

    steps: int = 0
    known: int = 0
    pixels: int = 0
    loss: float = 0.0
    restoration: float = 0.0
    flow: float = 0.0
    gradient: float = 0.0
    since: float = 0.0


def network_config(recipe: Recipe) -> NetworkConfig:
    """Return the configuration a recipe's ``[model]`` describes."""
    model = recipe.model
    return NetworkConfig(
        channels=model.channels,
        blocks=model.blocks,
        deform_groups=model.deform_groups,
        extract_blocks=model.extract_blocks,
        reconstruct_blocks=model.reconstruct_blocks,
        hr_channels=model.hr_channels,
        spynet=SpynetConfig(model.flow_levels, model.flow_kernel, tuple(model.flow_widths)),
    )


def initial_network(recipe: Recipe, start: Path | None) -> BasicVSRPP:
    """Return the network to train: from a checkpoint, or new, from the recipe's seed."""
    if start is not None:
        network = load_network(start)
        if not isinstance(network, BasicVSRPP):
            raise UsageError(f"{start}: training knows BasicVSR++ only, this is another network")
        return network.train().requires_grad_(requires_grad=True)
    torch.manual_seed(recipe.seed)
    network = BasicVSRPP(network_config(recipe))
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            # The offset network's last layer is zero: alignment begins as warping by the flow.
            if "conv_offset.6" in name:
                parameter.zero_()
            elif "conv2" in name or name.startswith("conv_last"):
                parameter.mul_(0.1)
    return network


class Trainer:
    """One run of a recipe, continued from the state in its folder if there is one.

    Args:
        recipe: what to do.
        pack: the packed material.
        folder: of the run: state, record, curves, weights.
        start: checkpoint to begin from; None for a new network. Ignored where a run is continued.
        device: where to compute; the CPU by default.
        processes: the processes that share each step.

    Raises:
        ResumeRefusedError: the folder holds a run of another recipe.
        CheckpointError: `start` cannot be loaded.
        UsageError: `start` is not a BasicVSR++ network, or the recipe does not suit the network or
            the number of processes.
        InputError: the recipe needs clips, or stills for its flow stage, and the pack has none.
    """

    def __init__(
        self,
        recipe: Recipe,
        pack: Pack,
        folder: Path,
        *,
        start: Path | None = None,
        device: torch.device | None = None,
        processes: Processes | None = None,
    ) -> None:
        self.recipe, self.pack, self.places = recipe, pack, Places(folder)
        self.device = device or torch.device("cpu")
        self.processes = processes or Processes()
        self.step = 0
        self.seconds = 0.0
        self.decay: tuple[int, int] | None = None
        folder.mkdir(parents=True, exist_ok=True)
        network = initial_network(recipe, None if self.places.state.exists() else start)
        state = load_state(self.places.state) if self.places.state.exists() else None
        if state is not None:
            network = BasicVSRPP(from_json(NetworkConfig, state["config"]))
        self.trained = TrainedNetwork(network.to(self.device), precision=recipe.precision)
        self.network = network
        _check_network(recipe, network.config, self.processes.count)
        _check_material(recipe, pack)
        self.average = Average(network, recipe.optimiser.ema)
        self.optimiser = self._optimiser()
        self.sampler = Sampler(pack, recipe.data, scale=network.config.scale, seed=recipe.seed)
        self._wrapped: tuple[tuple[str, bool], nn.Module] | None = None
        self._sums = _Sums()
        if state is not None:
            self._restore(state)

    def _optimiser(self) -> torch.optim.Adam:
        flow: list[nn.Parameter] = []
        rest: list[nn.Parameter] = []
        for name, parameter in self.network.named_parameters():
            (flow if name.startswith("spynet.") else rest).append(parameter)
        groups = [{"params": rest}, {"params": flow}]
        return torch.optim.Adam(groups, lr=0.0, betas=self.recipe.optimiser.betas, fused=True)

    def _restore(self, state: dict[str, Any]) -> None:
        """Restore a saved state."""
        if _completed(state["recipe"]) != _essence(self.recipe):
            raise ResumeRefusedError(
                f"{self.places.folder} holds a run of another recipe; take another folder, "
                "or `restart=True` to begin anew"
            )
        self.network.load_state_dict(state["network"])
        self.average.load_state_dict(state["average"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.step, self.seconds = state["step"], state["seconds"]
        self.decay = tuple(state["decay"]) if state["decay"] else None
        torch.set_rng_state(state["random"])
        if self.processes.first:
            curves.truncate(self.places.record, self.step)

    def save(self) -> None:
        """Save the state, the averaged weights and the curves (first process only)."""
        if not self.processes.first:
            return
        state = {
            "recipe": _essence(self.recipe),
            "config": to_json(self.network.config),
            "network": self.network.state_dict(),
            "average": self.average.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "step": self.step,
            "seconds": self.seconds,
            "decay": list(self.decay) if self.decay else None,
            "random": torch.get_rng_state(),
        }
        export(self.places.weights, self.network, self.average.weights)
        curves.draw(self.places.picture, curves.read(self.places.record))
        save_state(self.places.state, state)

    def finish_in(self, steps: int) -> None:
        """Decay the rate along a cosine over the next `steps` steps, then end the run.

        A decay that has begun is not changed.
        """
        if self.decay is None:
            self.decay = (self.step, steps)

    @property
    def last_step(self) -> int:
        """The step at which the run ends."""
        return sum(self.decay) if self.decay else self.recipe.steps

    def run(
        self,
        *,
        row_every: int = 50,
        on_row: OnRow | None = None,
        stop: Callable[[], bool] | None = None,
    ) -> None:
        """Train to the end of the recipe (or of the decay), saving as often as the recipe says.

        Args:
            row_every: number of steps averaged in a row of the record.
            on_row: called with each row, in the first process only.
            stop: called after each step; if it returns True, the state is saved and training stops.

        Raises:
            RunError: the loss or the gradient is not finite.
        """
        self._sums = _Sums(since=time.monotonic())
        while self.step < self.last_step:
            self._one_step()
            every = self.recipe.validation.every
            due = bool(every) and self.step % every == 0 and bool(self.pack.held_out_rows)
            if self.step % row_every == 0 or due or self.step == self.last_step:
                self._row(due or self.step == self.last_step, on_row)
            ending = self.processes.agree(stop is not None and stop())
            if ending or self.step % self.recipe.save_every == 0:
                self.save()
            if ending:
                return
        self.save()

    def _one_step(self) -> None:
        stage, within = self.recipe.stage_at(self.step)
        # `flow_fixed` counts steps of restoration: a flow stage always trains the flow network.
        fixed = (
            stage.kind == "restore"
            and self._restoring(self.step) < self.recipe.optimiser.flow_fixed
        )
        model = self._model(stage.kind, fixed)
        self._set_rates(stage, within, fixed)
        share = stage.batch // self.processes.count
        batch = self.sampler.batch(
            self.step, stage, first=self.processes.rank * share, count=share
        ).to(self.device)
        self.optimiser.zero_grad(set_to_none=True)
        loss, restoration, flow_error = self._loss(model, batch, stage.kind)
        # Before the backward pass: that of torch's grid sampling crashes on nan coordinates.
        self._check_finite("loss", float(loss.detach()))
        loss.backward()  # type: ignore[no-untyped-call]
        parameters = [p for p in self.network.parameters() if p.grad is not None]
        norm = float(nn.utils.clip_grad_norm_(parameters, self.recipe.optimiser.clip))
        self._check_finite("gradient", norm)
        self.optimiser.step()
        self.average.update(self.network)
        self.step += 1
        sums = self._sums
        sums.steps += 1
        sums.pixels += batch.low.numel() // 3 * self.processes.count
        sums.loss += float(loss.detach())
        sums.restoration += float(restoration.detach())
        sums.gradient += norm
        if float(batch.known.sum()):
            sums.known += 1
            sums.flow += float(flow_error.detach())

    def _check_finite(self, what: str, value: float) -> None:
        if not math.isfinite(value):
            raise RunError(
                f"training diverged at step {self.step}: the {what} is {value}; "
                f"lower the rate and go on from {self.places.state}"
            )

    def _restoring(self, step: int) -> int:
        """Return how many restoration steps came before `step`."""
        done = 0
        for stage in self.recipe.stages:
            done += min(step, stage.steps) if stage.kind == "restore" else 0
            step = max(0, step - stage.steps)
        return done

    def _model(self, kind: StageKind, fixed: bool) -> nn.Module:
        """Return the network, wrapped for several processes; made anew when other parts train."""
        if self._wrapped is None or self._wrapped[0] != (kind, fixed):
            for name, parameter in self.network.named_parameters():
                flow = name.startswith("spynet.")
                parameter.requires_grad_(not fixed if flow else kind == "restore")
            model: nn.Module = self.trained
            if self.processes.count > 1:
                model = DistributedDataParallel(self.trained)
            self._wrapped = ((kind, fixed), model)
        return self._wrapped[1]

    def _set_rates(self, stage: Stage, within: int, fixed: bool) -> None:
        recipe = self.recipe.optimiser
        rate = stage.rate * self._schedule(stage, within)
        flow = 1.0 if stage.kind == "flow" else recipe.flow_rate * (not fixed)
        rest, flow_group = self.optimiser.param_groups
        rest["lr"], flow_group["lr"] = rate, rate * flow

    def _schedule(self, stage: Stage, within: int) -> float:
        """Return the factor of the stage's rate at this step, 0 to 1."""
        recipe = self.recipe.optimiser
        share = min(1.0, (within + 1) / max(recipe.warm_up, 1))
        if self.decay is not None:
            begin, steps = self.decay
            return share * _cosine((self.step - begin) / steps, recipe.floor)
        if recipe.schedule == "cosine":
            return share * _cosine(within / stage.steps, recipe.floor)
        return share

    def _loss(
        self, model: nn.Module, batch: Batch, kind: StageKind
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return the loss, its Charbonnier part (nan if there is none), and the flow's error."""
        restored, flows = model(batch.low, kind)
        recipe = self.recipe.loss
        if restored is None:
            loss = losses.known_pyramid(flows, batch.flow[:, 0])
            error = losses.known_flow(flows[-1].detach()[:, None], batch.flow, batch.known)
            return loss, torch.tensor(math.nan), error
        restoration = losses.charbonnier(restored, batch.high, recipe.epsilon)
        loss, error = restoration, torch.zeros(())
        if batch.flow.shape[1] and batch.flow.shape == flows[0].shape:
            error = losses.known_flow(flows[0], batch.flow, batch.known)
            # Relative to all clips, so that the mean over processes equals that of one process.
            loss = loss + recipe.flow * error * batch.known.mean()
        if recipe.photometric and batch.flow.shape[1]:
            loss = loss + recipe.photometric * _photometric(batch, flows, recipe.smoothness)
        return loss, restoration, error

    def _row(self, measure: bool, on_row: OnRow | None) -> None:
        """Write a row of the record, with a validation if `measure`, and start the next one."""
        sums, now = self._sums, time.monotonic()
        passed = now - sums.since
        self.seconds += passed
        if self.processes.first:
            stage, _ = self.recipe.stage_at(self.step - 1)
            scores = (math.nan, math.nan)
            if measure and self.pack.held_out_rows and stage.kind == "restore":
                scores = validate(
                    self.trained, self.average.weights, self.pack, self.sampler.degrade
                )
            n = sums.steps
            row = Row(
                step=self.step,
                seconds=round(self.seconds, 3),
                stage=stage.kind,
                rate=self.optimiser.param_groups[1 if stage.kind == "flow" else 0]["lr"],
                loss=sums.loss / n,
                restoration=sums.restoration / n,
                flow_error=sums.flow / sums.known if sums.known else math.nan,
                gradient=sums.gradient / n,
                pixels_per_second=round(sums.pixels / passed, 1),
                psnr=scores[0],
                bicubic=scores[1],
            )
            curves.append(self.places.record, row)
            if on_row is not None:
                on_row(row)
        self._sums = _Sums(since=time.monotonic())


def _cosine(progress: float, floor: float) -> float:
    progress = min(max(progress, 0.0), 1.0)
    return floor + (1 - floor) * 0.5 * (1 + math.cos(math.pi * progress))


def _photometric(batch: Batch, flows: list[Tensor], smoothness: float) -> Tensor:
    """Return the photometric error of the flow to the next frame plus its weighted roughness."""
    first, second = batch.low[:, :-1].flatten(0, 1), batch.low[:, 1:].flatten(0, 1)
    flow = flows[0].flatten(0, 1)
    error = losses.photometric(first, warp(second, flow, padding="border"))
    return error + smoothness * losses.roughness(flow)


def _essence(recipe: Recipe) -> dict[str, Any]:
    """Return the part of a recipe that must not change when a run is continued."""
    essence = asdict(recipe)
    for name in ("description", "save_every", "validation"):
        del essence[name]
    plain: dict[str, Any] = to_json(essence)
    return plain


def _completed(essence: dict[str, Any]) -> dict[str, Any]:
    """Return a saved essence with defaults for settings that did not exist when it was saved."""
    try:
        return _essence(from_json(Recipe, essence))
    except ValueError:
        return essence


def _check_network(recipe: Recipe, config: NetworkConfig, processes: int) -> None:
    """Raise UsageError if the recipe does not suit the network or the number of processes."""
    if config.same_size and recipe.data.degradation != "real":
        raise UsageError("a network whose output has the input's size needs degradation = 'real'")
    step = config.spynet.multiple_of * config.multiple_of
    for stage in recipe.stages:
        if stage.batch % processes:
            raise UsageError(f"a batch of {stage.batch} cannot be shared by {processes} processes")
        if stage.patch % step:
            raise UsageError(f"this network needs patches of a multiple of {step}: {stage.patch}")


def _check_material(recipe: Recipe, pack: Pack) -> None:
    """Raise InputError if there is nothing to render the motion from that a stage learns."""
    if not pack.still_rows and any(stage.kind == "flow" for stage in recipe.stages):
        raise InputError(
            "there is no still to render known motion from, as a flow stage needs: give photographs"
        )


@contextlib.contextmanager
def quick_arithmetic() -> Iterator[None]:
    """Flush denormals to zero: features near zero otherwise slow CPUs down several times."""
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(False)
