"""`python -m indexer` does what `codx-index` does."""

from indexer.cli.main import main

if __name__ == "__main__":
    main()
