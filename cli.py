"""Launcher for a checkout: `python cli.py run` does what `codx-index run` does.

Not installed: a top-level `cli` module in site-packages would be replaced, in silence, by
that of any other package.
"""

from indexer.cli.main import main

if __name__ == "__main__":
    main()
