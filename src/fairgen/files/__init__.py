"""The one door to disk: cohort folders, image decoding, image facts, digests, atomic writes."""
