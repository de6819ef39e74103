"""Launcher for a checkout: `python cli.py run` does what `codx-index run` does.

It is not installed, because any other package's top-level `cli` module would silently replace
it in site-packages.
"""

from indexer.cli.main import main

if __name__ == "__main__":
    main()
