"""Put the weights of a training run into the package, in half precision.

Usage: python benchmarks/ship_weights.py RUN/weights.safetensors NAME

NAME is an embedded model (compact, compact-web). Its file in weights/ is replaced, and its digest
in the registry. What remains is to measure (`vsrpp evaluate`, `benchmarks/choose_model.py`) and to
write down the figures, the hours and the steps in weights/README.md.
"""

import argparse
from pathlib import Path

import torch
from safetensors.torch import save_file

from vsrpp_cli.checkpoints import registry
from vsrpp_cli.checkpoints.cache import place_of
from vsrpp_cli.checkpoints.load import load_network, to_metadata
from vsrpp_cli.checkpoints.transfer import file_digest
from vsrpp_cli.errors import CheckpointError

REGISTRY = Path(registry.__file__)


def ship(source: Path, row: registry.ModelRow, target: Path, table: Path) -> str:
    """Write the weights to `target` and their digest into the text of `table`; return it.

    Raises:
        CheckpointError: they are not of the row's network.
    """
    network = load_network(source)
    if network.config != row.config:
        raise CheckpointError(f"{source} is not the network of {row.name}: {network.config}")
    tensors = {name: value.half() for name, value in network.state_dict().items()}
    if not all(torch.isfinite(value).all() for value in tensors.values()):
        raise CheckpointError(f"{source}: a weight is too large for half precision")
    save_file(tensors, target, metadata=to_metadata(network.config))
    target.chmod(0o644)
    digest = file_digest(target)[:8]
    text = table.read_text(encoding="utf-8")
    assert text.count(f'"{row.digest}"') == 1
    table.write_text(text.replace(f'"{row.digest}"', f'"{digest}"'), encoding="utf-8")
    return digest


def main() -> None:
    """Replace the file and say what is left to do."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("weights", type=Path)
    parser.add_argument("name", choices=[r.name for r in registry.MODELS.values() if r.embedded])
    given = parser.parse_args()
    row = registry.lookup(given.name)
    digest = ship(given.weights, row, place_of(row), REGISTRY)
    sizes = [place_of(r).stat().st_size for r in registry.MODELS.values() if r.embedded]
    print(f"{place_of(row)}: digest {digest}; {sum(sizes) / 1e6:.2f} MB for all embedded models")
    print("next: vsrpp evaluate, benchmarks/choose_model.py, weights/README.md")


if __name__ == "__main__":
    main()
