"""Wires everything: the study file, its stages and the run folder."""
