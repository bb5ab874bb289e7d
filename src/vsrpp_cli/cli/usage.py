"""What click says of a command line it cannot take, in the form of all our messages."""

import click
from click.exceptions import NoSuchCommand

_ARGUMENTS = ("Missing argument", "Got unexpected extra argument")
"""How messages about the number of arguments begin; they are answered with the usage line."""

_BEGINNINGS = (*_ARGUMENTS, "Missing", "Option", "No such", "Could not", "Invalid")
"""How other messages of click begin, that are not ours."""


def usage_text(error: click.ClickException) -> str:
    """Return one line: what is wrong, and what may have been meant or where to look."""
    context = getattr(error, "ctx", None)
    text = _text(error)
    if context is None or text.endswith("?"):
        return text
    if error.format_message().startswith(_ARGUMENTS):
        pieces = " ".join(context.command.collect_usage_pieces(context))
        return f"{text}; usage: {context.command_path} {pieces}"
    return f"{text}; see {context.command_path} --help"


def _text(error: click.ClickException) -> str:
    if isinstance(error, click.NoSuchOption):
        return f"no such option {error.option_name}{_meant(error.possibilities)}"
    if isinstance(error, NoSuchCommand):
        return f"no such command {error.command_name}{_meant(error.possibilities)}"
    if isinstance(error, click.BadParameter) and not isinstance(error, click.MissingParameter):
        return _of_value(error)
    text = error.format_message().rstrip(".")
    return text[0].lower() + text[1:] if text.startswith(_BEGINNINGS) else text


def _of_value(error: click.BadParameter) -> str:
    text = error.message.rstrip(".")
    if error.param is None or text.startswith("-"):
        return text
    option = isinstance(error.param, click.Option)
    return f"{error.param.opts[-1] if option else error.param.human_readable_name}: {text}"


def _meant(possibilities: list[str] | None) -> str:
    return f": did you mean {' or '.join(possibilities)}?" if possibilities else ""
