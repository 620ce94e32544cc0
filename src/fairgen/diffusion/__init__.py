"""The arithmetic of noising. Pure."""

from fairgen.diffusion.schedule import Latents, Schedule

__all__ = ["Latents", "Schedule"]
