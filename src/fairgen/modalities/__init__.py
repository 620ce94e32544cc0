"""What each kind of medical image needs: prompt wording, channels, flips. Pure."""

from fairgen.modalities.modality import MODALITIES, Modality, Prompts, find_modality

__all__ = ["MODALITIES", "Modality", "Prompts", "find_modality"]
