"""Values that a shell offers for options; nothing here may be slow to import."""

from collections.abc import Callable, Iterable

import click
from click.shell_completion import CompletionItem

Complete = Callable[[click.Context, click.Parameter, str], list[CompletionItem]]


def models(_ctx: click.Context, _param: click.Parameter, begun: str) -> list[CompletionItem]:
    """Offer the names of models, also after a comma, and files."""
    from vsrpp_cli.checkpoints.registry import MODELS

    before, comma, last = begun.rpartition(",")
    names = ("auto", *MODELS)
    found = [CompletionItem(f"{before}{comma}{name}") for name in names if name.startswith(last)]
    return found or [CompletionItem(begun, type="file")]


def encoders(ctx: click.Context, param: click.Parameter, begun: str) -> list[CompletionItem]:
    """Offer encoders, and the formats that they write."""
    from vsrpp_cli.media.encode.encoder_table import ROWS

    return among((*(row.coding for row in ROWS), *(row.encoder for row in ROWS)))(ctx, param, begun)


def presets(ctx: click.Context, param: click.Parameter, begun: str) -> list[CompletionItem]:
    """Offer the presets that all encoders have."""
    from vsrpp_cli.media.encode.encoder_table import PRESETS

    return among(PRESETS)(ctx, param, begun)


def recipes(ctx: click.Context, param: click.Parameter, begun: str) -> list[CompletionItem]:
    """Offer the shipped recipes, and files."""
    from vsrpp_cli.training.shipped_recipes import shipped_recipes

    found = among(shipped_recipes())(ctx, param, begun)
    return found or [CompletionItem(begun, type="file")]


def among(words: Iterable[str]) -> Complete:
    """Return what offers those of some words that begin as the user did."""
    distinct = dict.fromkeys(words)

    def complete(_ctx: click.Context, _param: click.Parameter, begun: str) -> list[CompletionItem]:
        return [CompletionItem(word) for word in distinct if word.startswith(begun)]

    return complete
