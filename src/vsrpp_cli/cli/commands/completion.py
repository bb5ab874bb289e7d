"""`vsrpp completion`: completion of commands, options and their values by the shell."""

import os
from pathlib import Path

import click
from click.shell_completion import get_completion_class

from vsrpp_cli.cli.command import Command, option
from vsrpp_cli.cli.text import echo
from vsrpp_cli.errors import UsageError

PROGRAM = "vsrpp"
VARIABLE = "_VSRPP_COMPLETE"
"""The variable by which the script asks click for completions."""

EXAMPLES = """
vsrpp completion bash --install
vsrpp completion zsh > ~/.zfunc/_vsrpp
"""


@click.command("completion", cls=Command, examples=EXAMPLES)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@option("--install", is_flag=True, help="Write the script where SHELL looks for it.")
def command(*, shell: str, install: bool) -> None:
    """Print the script that makes SHELL complete commands, options, models and file names."""
    script = _script(shell)
    if not install:
        click.echo(script)
        return
    place = _place(shell)
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(script, encoding="utf-8")
    except OSError as error:
        raise UsageError(f"{place}: cannot be written: {error.strerror}") from error
    echo(f"{place}: written; it takes effect in the next shell")
    if shell == "zsh":
        echo(
            f"if it does not, begin ~/.zshrc with: fpath+=({place.parent}); "
            "autoload -U compinit; compinit"
        )


def _script(shell: str) -> str:
    from vsrpp_cli.cli.main import main

    kind = get_completion_class(shell)
    assert kind is not None
    return kind(main, {}, PROGRAM, VARIABLE).source()


def _place(shell: str) -> Path:
    """Return where a shell looks for a user's completions."""
    data = Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local/share")
    settings = Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config")
    return {
        "bash": data / "bash-completion/completions" / PROGRAM,
        "zsh": data / "zsh/site-functions" / f"_{PROGRAM}",
        "fish": settings / "fish/completions" / f"{PROGRAM}.fish",
    }[shell]
