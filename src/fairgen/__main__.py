"""Runs the command line as ``python -m fairgen``."""

from fairgen.cli import main

main()
