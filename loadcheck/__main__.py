"""``python -m loadcheck``: the command line."""

from loadcheck.cli import main

if __name__ == "__main__":
    main()
