"""`python -m mtlsd`."""

from mtlsd.cli import main

if __name__ == "__main__":
    main()
