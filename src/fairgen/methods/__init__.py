"""Named recipes: how images are drawn and what is minimised. Pure."""

from fairgen.methods.method import METHODS, Method, find_method

__all__ = ["METHODS", "Method", "find_method"]
