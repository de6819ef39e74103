"""`python -m indexer`."""

from indexer.commands import main

if __name__ == "__main__":
    main()
