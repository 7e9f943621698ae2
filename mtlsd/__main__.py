"""`python -m mtlsd`."""

from mtlsd.cli.root import main

if __name__ == "__main__":
    main()
