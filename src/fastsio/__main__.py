"""``python -m fastsio``: the command line."""

from fastsio.cli import main

if __name__ == "__main__":
    main()
