"""Turns the files of a run into figures, tables and one self-contained page."""

from fairgen.report.page import write_report

__all__ = ["write_report"]
