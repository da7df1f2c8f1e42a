"""`python -m ganscribe` is `ganscribe`."""

from ganscribe.cli import main

if __name__ == "__main__":
    main(prog_name="ganscribe")
