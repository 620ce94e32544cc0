"""The classifiers there are; a new one is one more line here."""

from collections.abc import Mapping
from types import MappingProxyType

from fairgen.classifiers.classifier import Classifier, ClassifySettings
from fairgen.classifiers.vit import VIT, VIT_TINY
from fairgen.errors import StudyError

CLASSIFIERS: Mapping[str, Classifier] = MappingProxyType({c.name: c for c in (VIT_TINY, VIT)})


def find_classifier(settings: ClassifySettings) -> Classifier:
    """Return the classifier that the settings name.

    Raises:
        StudyError: If there is none, or a setting was changed that only another classifier reads.
    """
    name = settings.classifier
    if name not in CLASSIFIERS:
        raise StudyError(
            f"classify.classifier: unknown '{name}'; expected one of {', '.join(CLASSIFIERS)}"
        )
    chosen = CLASSIFIERS[name]
    for other in CLASSIFIERS.values():
        for field in sorted(other.own - chosen.own):
            if getattr(settings, field) != ClassifySettings.model_fields[field].default:
                raise StudyError(f"classify.{field}: '{name}' reads it not; '{other.name}' does")
    return chosen
