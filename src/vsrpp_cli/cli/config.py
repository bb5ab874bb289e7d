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


PRESETS, DEFAULTS, USED = (f"{__name__}.{name}" for name in ("presets", "defaults", "used"))
"""Where a command's context keeps the presets and the other values of a config file, and the name
of the preset in use."""


class RunCommand(Command):
    """A command whose options may come from `--config`; the command line wins."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse, refuse contradictions, and drop what the command line overrides.

        Raises:
            click.UsageError: two options given set one thing.
        """
        rest = super().parse_args(ctx, list(args))
        if not ctx.resilient_parsing:
            _refuse_unknown_preset(ctx)
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
        click.BadParameter: the file cannot be read, or names what there is not.
    """
    if path is None:
        return
    try:
        values = tomllib.loads(Path(path).read_text(encoding="utf-8"))
        ctx.meta[PRESETS] = _presets(values.pop("presets", {}))
        ctx.meta[DEFAULTS] = _defaults(ctx, values)
        _set_defaults(ctx)
    except OSError as error:
        raise click.BadParameter(
            f"{path}: {(error.strerror or str(error)).lower()}", ctx, param
        ) from error
    except ValueError as error:
        raise click.BadParameter(f"{path}: {error}", ctx, param) from error


def use_preset(ctx: click.Context, param: click.Parameter, name: str | None) -> None:
    """Let a preset change the defaults of the config file, which may be read before or after.

    Raises:
        click.BadParameter: it names what there is not.
    """
    if name is None:
        return
    ctx.meta[USED] = name
    try:
        _set_defaults(ctx)
    except ValueError as error:
        raise click.BadParameter(str(error), ctx, param) from error


def _presets(tables: Any) -> dict[str, dict[str, Any]]:
    """Return the tables `[presets.NAME]`."""
    if not isinstance(tables, dict) or not all(isinstance(t, dict) for t in tables.values()):
        raise ValueError("presets: must be tables [presets.NAME]")
    return tables


def _set_defaults(ctx: click.Context) -> None:
    """Set what is known so far: the file's own values, and above them those of the preset."""
    name, presets = ctx.meta.get(USED), ctx.meta.get(PRESETS, {})
    chosen = {}
    if name in presets:
        try:
            chosen = _defaults(ctx, presets[name])
        except ValueError as error:
            raise ValueError(f"preset {name}: {error}") from error
    own = {k: v for k, v in ctx.meta.get(DEFAULTS, {}).items() if not _excluded(k, chosen)}
    ctx.default_map = {**own, **chosen}


def _refuse_unknown_preset(ctx: click.Context) -> None:
    name, presets = ctx.meta.get(USED), ctx.meta.get(PRESETS, {})
    if name is not None and name not in presets:
        there = f"the config file has {', '.join(presets)}" if presets else "--config has none"
        raise click.UsageError(f"--use {name}: there is no such preset; {there}", ctx)


def _excluded(name: str, chosen: dict[str, Any]) -> bool:
    """Whether a parameter sets what one of those chosen sets."""
    return any({name, other} == set(pair) for pair in EXCLUSIVE for other in chosen)


def _defaults(ctx: click.Context, values: dict[str, Any]) -> dict[str, Any]:
    """Return the values by the names of the parameters they set."""
    keys, elsewhere = dict(_keys(ctx.command)), _keys_of_upscale(ctx)
    found: dict[str, Any] = {}
    set_by: dict[str, str] = {}
    for key, value in values.items():
        option = keys.get(key.replace("-", "_"))
        if option is None and key.replace("-", "_") in elsewhere:
            continue  # one file serves several commands
        if option is None or option.name is None:
            raise ValueError(f"unknown option {key}")
        for name, taken in _value(option, key, value).items():
            if name in found:
                raise ValueError(f"{set_by[name]} and {key} exclude each other: give one of them")
            found[name], set_by[name] = taken, key
    return found


def _keys_of_upscale(ctx: click.Context) -> set[str]:
    root = ctx.find_root()
    if not isinstance(root.command, click.Group):
        return set()
    command = root.command.get_command(root, "upscale")
    return {key for key, _ in _keys(command)} if command else set()


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
