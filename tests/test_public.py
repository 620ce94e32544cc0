import subprocess
import sys

import fairgen


def test_every_public_name_can_be_loaded():
    for name in fairgen.__all__:
        assert getattr(fairgen, name) is not None, name
    assert set(fairgen.__all__) <= set(dir(fairgen))


def test_an_unknown_name_is_an_attribute_error():
    assert not hasattr(fairgen, "debias")


def test_importing_the_package_and_the_command_line_loads_no_heavy_library():
    code = (
        "import sys, fairgen, fairgen.cli; "
        "heavy = {'torch', 'diffusers', 'transformers', 'matplotlib', 'sklearn', 'pandas'}; "
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_importing_a_table_or_auditing_loads_no_model_library():
    code = (
        "import sys, fairgen.intake.table, fairgen.study.overrides, fairgen.files.facts, "
        "fairgen.files.layout; "
        "print(sorted({'torch', 'diffusers', 'transformers', 'sklearn'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_everything_that_the_verbs_take_is_public():
    wanted = {
        "TrainSettings", "SampleSettings", "TableSettings", "ClassifySettings", "SplitSettings",
        "TinySettings", "ExtractorSettings", "METHODS", "open_generator", "planned", "audit",
    }  # fmt: skip
    assert wanted <= set(fairgen.__all__)
