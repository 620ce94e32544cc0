"""Seeds derived from what they are for, so that no draw depends on another's order."""

from hashlib import sha256

from fairgen.errors import StudyError


def derive(seed: int, purpose: str, *parts: str | int) -> int:
    """Return a 63-bit seed for one purpose.

    The parts are length-prefixed before hashing, so ``("a", "bc")`` and ``("ab", "c")`` differ.

    Args:
        seed: Seed of the study, 0 or more.
        purpose: What the draws are for, such as ``"generate"``.
        *parts: What tells one draw from another, such as a group's key and an index.

    Raises:
        StudyError: If the seed is negative.
    """
    if seed < 0:
        raise StudyError(f"seed: {seed}; expected 0 or more")
    text = "".join(f"{len(str(p))}:{p};" for p in (seed, purpose, *parts))
    return int.from_bytes(sha256(text.encode()).digest()[:8], "big") >> 1
