from io import StringIO

from rich.console import Console

from fairgen.report.terminal import score_tables


def row(metric, method, value, **other):
    return {
        "metric": metric, "method": method, "group": "overall", "split": "test", "value": value,
        "low": 0.1, "high": 0.9, "classifier": None, "reweight": None, **other,
    }  # fmt: skip


def printed(rows, width=80):
    page = StringIO()
    Console(width=width, file=page).print(score_tables(rows))
    return page.getvalue()


def test_images_and_each_classifier_have_tables_of_their_own():
    vit = {"classifier": "vit-tiny", "reweight": False}
    text = printed(
        [
            row("fid_indomain", "sd", 3.0),
            row("accuracy", "sd", 0.5, **vit),
            row("accuracy", "sd", 0.7, classifier="vit-tiny", reweight=True),
            row("accuracy", "sd", 0.8, classifier="vit", reweight=False),
        ]
    )
    titles = [line.strip() for line in text.splitlines() if " split" in line]
    assert titles == [
        "Images, test split",
        "vit, test split",
        "vit-tiny, test split",
        "vit-tiny, test split, reweighted",
    ]
    assert [value for value in ("0.500", "0.700", "0.800") if value in text] == [
        "0.500",
        "0.700",
        "0.800",
    ]


def test_four_methods_fit_eighty_columns():
    methods = ["real", "autoencoder", "sd", "fairgen"]
    text = printed([row("fid_indomain_variance", m, 862.25) for m in methods])
    assert all(m in text for m in methods)
    assert text.count("0.100–0.900") == len(methods)


def test_seeds_are_averaged_and_a_missing_value_is_a_dash():
    text = printed(
        [
            row("auc", "sd", 0.2, seed=0),
            row("auc", "sd", 0.4, seed=1),
            row("auc", "real", None),
        ]
    )
    assert "0.300" in text
    assert "0.100–0.900" not in text
    assert " -" in text
