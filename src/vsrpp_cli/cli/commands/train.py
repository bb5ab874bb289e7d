"""`vsrpp train`."""

from pathlib import Path

import click

from vsrpp_cli.cli import params, suggestions
from vsrpp_cli.cli.command import Command, option
from vsrpp_cli.cli.events import progress_option
from vsrpp_cli.training.shipped_recipes import find_recipe

EXAMPLES = """
vsrpp train finetune --data footage/ -o mine
vsrpp train compact --data footage/ --data photographs/ -o small
torchrun --nproc-per-node 4 -m vsrpp_cli train reds --data REDS/ -o big
"""


@click.command("train", cls=Command, examples=EXAMPLES)
@click.argument("recipe", shell_complete=suggestions.recipes)
@option(
    "--data",
    type=click.Path(path_type=Path),
    required=True,
    multiple=True,
    help="Folder of videos, of folders of frames, and of photographs (told from frames by sizes "
    "that differ), from which motion is synthesised; may be repeated.",
)
@option(
    "--stills",
    type=click.Path(path_type=Path),
    multiple=True,
    help="Folder whose pictures are photographs even where all have one size; may be repeated.",
)
@option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    help="Folder of the run; it goes on from what is there.  [default: RECIPE's name]",
)
@option(
    "--pack",
    type=click.Path(path_type=Path),
    help="Folder of the packed material.  [default: pack inside the run's folder]",
)
@option(
    "--from",
    "start",
    metavar="MODEL",
    help="Begin with a model's weights: a name, a file, or hf:OWNER/REPO/FILE.",
)
@option(
    "--finish",
    type=click.IntRange(1),
    metavar="STEPS",
    help="Let the rate fall over the next STEPS steps, then end.",
)
@params.device_option
@params.threads_option
@option(
    "--row-every",
    type=click.IntRange(1),
    default=50,
    metavar="STEPS",
    show_default=True,
    help="Steps averaged in a row of the record.",
)
@option("--restart", is_flag=True, help="Begin anew in a folder that holds a run.")
@params.offline_option
@progress_option
@params.quiet_option
def command(recipe: str, threads: int | None, device: str, progress: str, quiet: bool,
            offline: bool, start: str | None, output: Path | None,
            **options: object) -> None:  # fmt: skip
    """Train a model by RECIPE: a TOML file, or the name of a shipped recipe.

    Shipped: compact and compact-web (the models inside, the latter for compressed video), reds,
    vimeo90k-bi, vimeo90k-bd (the paper's schedules), finetune (any published model on your own
    footage), real (blur, noise and compression).

    Interrupted runs go on when the same command is given again. With several processes, start
    it with torchrun: torchrun --nproc-per-node 4 -m vsrpp_cli train ...
    """
    # Torch is slow to import, and --help must not wait for it.
    from vsrpp_cli.cli.training_display import run_training

    path = find_recipe(recipe)
    run_training(
        path,
        output=output or Path(path.stem),
        start=start,
        device=device,
        threads=threads,
        progress="none" if quiet else progress,
        offline=offline,
        **options,  # type: ignore[arg-type]
    )
