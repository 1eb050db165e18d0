"""`python -m vispa` is the command `vispa`."""

from vispa.cli.main import main

if __name__ == "__main__":
    main()
