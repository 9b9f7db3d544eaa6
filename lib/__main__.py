"""The command line by another name: python -m lib is writeup."""

from longtail_writeup.__main__ import main

if __name__ == "__main__":
    main()
