"""`python -m vsrpp_cli` equals `vsrpp`."""

from vsrpp_cli.cli.main import run

if __name__ == "__main__":
    run()
