"""Options from a TOML file, and what wins where options contradict each other."""

import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from vsrpp_cli.cli.command import Command

EXCLUSIVE = (("scale", "height"), ("scale", "width"))
"""Parameters that set the same thing in different ways."""


class RunCommand(Command):
    """A command whose options may come from `--config`; the command line wins."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse, refuse contradictions, and drop what the command line overrides.

        Raises:
            click.UsageError: two options given set one thing.
        """
        rest = super().parse_args(ctx, list(args))
        if not ctx.resilient_parsing:
            _, _, given = self.make_parser(ctx).parse_args(list(args))
            _refuse_contradictions(given)
        for pair in EXCLUSIVE:
            for name, other in (pair, pair[::-1]):
                _drop_from_config(ctx, name, other)
        return rest


def _refuse_contradictions(given: list[click.Parameter]) -> None:
    seen: dict[str | None, click.Parameter] = {}
    for parameter in given:
        before = seen.setdefault(parameter.name, parameter)
        if before is not parameter:
            both = f"{before.opts[-1]} and {parameter.opts[-1]}"
            raise click.UsageError(f"{both} exclude each other: give one of them")


def _drop_from_config(ctx: click.Context, name: str, other: str) -> None:
    """Forget the file's value of `name` if the command line has `other`."""
    from_file = ctx.get_parameter_source(name) is ParameterSource.DEFAULT_MAP
    if from_file and ctx.get_parameter_source(other) is ParameterSource.COMMANDLINE:
        ctx.params[name] = None


def load_config(ctx: click.Context, param: click.Parameter, path: str | None) -> None:
    """Take defaults for this command's options from a TOML file, named as the options are.

    Raises:
        click.BadParameter: the file cannot be read, or names what this command does not have.
    """
    if path is None:
        return
    try:
        values = tomllib.loads(Path(path).read_text(encoding="utf-8"))
        ctx.default_map = _defaults(ctx.command, values)
    except (OSError, ValueError) as error:
        raise click.BadParameter(f"{path}: {error}", ctx, param) from error


def _defaults(command: click.Command, values: dict[str, Any]) -> dict[str, Any]:
    """Return the values by the names of the parameters they set."""
    keys = dict(_keys(command))
    found: dict[str, Any] = {}
    set_by: dict[str, str] = {}
    for key, value in values.items():
        option = keys.get(key.replace("-", "_"))
        if option is None or option.name is None:
            raise ValueError(f"unknown option {key}")
        for name, taken in _value(option, key, value).items():
            if name in found:
                raise ValueError(f"{set_by[name]} and {key} exclude each other: give one of them")
            found[name], set_by[name] = taken, key
    return found


def _keys(command: click.Command) -> Iterator[tuple[str, click.Option]]:
    """Yield every name an option can have in a file: first the parameters', then the options'."""
    options = [p for p in command.params if isinstance(p, click.Option) and p.expose_value]
    for option in reversed(options):
        yield str(option.name), option
    for option in options:
        for text in option.opts:
            yield text.lstrip("-").replace("-", "_"), option


def _value(option: click.Option, key: str, value: Any) -> dict[str, Any]:
    """Return what a key sets: `{parameter: value}`, empty for a flag that is off."""
    name = str(option.name)
    if option.count:
        return {name: value}
    if option.is_flag:
        return _flag(option, key, value)
    if option.multiple:
        pairs = [f"{k}={v}" for k, v in value.items()] if isinstance(value, dict) else value
        return {name: [str(v) for v in pairs] if isinstance(pairs, list) else [str(pairs)]}
    if isinstance(value, bool):
        value = "on" if value else "off"  # click says which words an option takes
    if not isinstance(value, dict | list):
        return {name: str(value)}
    raise ValueError(f"{key}: must be one value")


def _flag(option: click.Option, key: str, value: Any) -> dict[str, Any]:
    name = str(option.name)
    if value not in (True, False):
        raise ValueError(f"{key} = {value!r}: must be true or false")
    if not option.is_bool_flag:  # like --fp16, short for a value of another option
        return {name: option.flag_value} if value else {}
    inverted = option.flag_value is False and key.replace("-", "_") != name
    return {name: value != inverted}
