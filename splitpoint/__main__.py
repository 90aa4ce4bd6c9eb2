"""`python -m splitpoint` is the command `splitpoint`."""

from partitioner.terminal.entrypoint import main

if __name__ == "__main__":
    main()
