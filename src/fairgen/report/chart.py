"""One drawing as SVG: style, colours, and making it safe to put inside a page."""

import csv
import html
import io
import re
import textwrap
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter, NullLocator

INK = "#5b6572"  # legible on white and on near-black; becomes the page's own ink inside the page
FAINT = "#8b95a1"
FONTS = "'Helvetica Neue', Helvetica, Arial, 'Liberation Sans', sans-serif"
# Okabe and Ito's palette without black and yellow, and two hues that keep apart from it.
COLOURS = (
    *("#e69f00", "#56b4e9", "#009e73", "#3b82c4", "#d55e00", "#cc79a7"),
    *("#8c6d3f", "#7a68c9", "#5f9ea0", "#b0413e"),
)
MARKERS = ("o", "s", "D", "^", "v", "P", "X", "h", "<", ">")
STROKES = ("-", "--", ":")
STYLE: Mapping[str, Any] = MappingProxyType(
    {
        "svg.fonttype": "none",
        "text.parse_math": False,
        "font.family": "DejaVu Sans",
        "font.size": 8,
        "axes.titlesize": 9,
        "axes.titlelocation": "left",
        "axes.labelsize": 8,
        "xtick.labelsize": 7.5,
        "ytick.labelsize": 8,
        "legend.fontsize": 7.5,
        "legend.frameon": False,
        **dict.fromkeys(("text.color", "axes.labelcolor", "axes.edgecolor"), INK),
        **dict.fromkeys(("xtick.color", "ytick.color"), INK),
        **dict.fromkeys(("axes.spines.top", "axes.spines.right"), False),
        "axes.linewidth": 0.7,
        "axes.axisbelow": True,
        "grid.color": FAINT,
        "grid.alpha": 0.35,
        "grid.linewidth": 0.5,
        "xtick.major.width": 0.7,
        "ytick.major.width": 0.7,
        "axes.unicode_minus": True,
    }
)
WIDTH = 3.45  # inches of a small figure: fits a telephone held upright


@dataclass(frozen=True)
class Chart:
    """Holds one finished drawing.

    Attributes:
        name: File stem, unique in a report.
        title: Short heading.
        svg: The drawing as a standalone SVG file.
        alt: What a reader who cannot see it should know.
        data: The figures drawn, one mapping a row.
        wide: Whether it needs more than a telephone's width.
    """

    name: str
    title: str
    svg: str
    alt: str
    data: tuple[Mapping[str, Any], ...] = ()
    wide: bool = False

    def table(self) -> str:
        """Return the data as CSV."""
        columns = list(dict.fromkeys(k for row in self.data for k in row))
        stream = io.StringIO()
        writer = csv.DictWriter(stream, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(self.data)
        return stream.getvalue()

    def file(self) -> str:
        """Return the drawing as a file of its own, with title and description."""
        return self._told(self.svg, self.title or self.name)

    def inline(self, title: str = "") -> str:
        """Return the drawing for use inside a page: own ids, the page's ink, no namespaces.

        Args:
            title: Heading of the figure, for a drawing that has none of its own.
        """
        body = self.svg[self.svg.index("<svg") :]
        body = re.sub(r' xmlns(:\w+)?="[^"]*"', "", body).replace("xlink:href", "href")
        body = own_ids(body.replace(INK, "currentColor"), self.name)
        return self._told(body, self.title or title or self.name)

    def _told(self, svg: str, title: str) -> str:
        """Return the SVG with the texts that a screen reader reads instead of it."""
        ids = f"{self.name}-title", f"{self.name}-desc"
        texts = (
            f'<title id="{ids[0]}">{html.escape(_plain(title))}</title>'
            f'<desc id="{ids[1]}">{html.escape(_plain(self.alt))}</desc>'
        )
        named = f'<svg role="img" aria-labelledby="{ids[0]}" aria-describedby="{ids[1]}"'
        head, end, rest = svg.partition("<svg")[2].partition(">")
        return f"{svg[: svg.index('<svg')]}{named}{head}{end}{texts}{rest}"


def _plain(text: str) -> str:
    """Return a text without characters that XML forbids."""
    return "".join(c if c.isprintable() else " " for c in text)


def own_ids(svg: str, prefix: str) -> str:
    """Return the SVG with used ids prefixed and unused ones removed."""
    used = set(re.findall(r'(?:url\(#|href="#)([^")]+)', svg))

    def renamed(match: re.Match[str]) -> str:
        return f' id="{prefix}-{match[1]}"' if match[1] in used else ""

    svg = re.sub(r' id="([^"]*)"', renamed, svg)
    return re.sub(r'(url\(#|href="#)', rf"\g<1>{prefix}-", svg)


def draw(
    name: str, size: tuple[float, float], paint: Callable[[Axes], None], *, polar: bool = False
) -> str:
    """Return what ``paint`` draws, as SVG that repeats to the last byte.

    Args:
        name: Salt of the ids inside the file.
        size: Width and height in inches.
        paint: Draws on the axes it is given.
        polar: Whether the axes are polar.
    """
    style: dict[Any, Any] = {**STYLE, "svg.hashsalt": name}
    with mpl.rc_context(style), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing")
        warnings.filterwarnings("ignore", message="constrained_layout not applied")
        figure = Figure(figsize=size, layout="constrained")
        paint(figure.add_subplot(projection="polar" if polar else None))
        return _tidy(rendered(figure))


def rendered(figure: Figure) -> str:
    """Return a figure as SVG on no ground; ``savefig`` would lay it out and draw it twice."""
    for patch in (figure.patch, *(axes.patch for axes in figure.axes)):
        patch.set_visible(False)
    stream = io.StringIO()
    FigureCanvasSVG(figure).print_svg(  # type: ignore[no-untyped-call]
        stream, metadata={"Date": None}
    )
    return stream.getvalue()


def _tidy(svg: str) -> str:
    svg = re.sub(r"<metadata>.*?</metadata>\s*", "", svg, flags=re.DOTALL)
    svg = re.sub(r"<!--.*?-->\s*|<!DOCTYPE[^>]*>\s*", "", svg, flags=re.DOTALL)
    svg = re.sub(r"<defs>\s*<style.*?</style>\s*</defs>\s*", "", svg, flags=re.DOTALL)
    svg = re.sub(r"(?<=font-family: )[^;\"]*|(?<=px )'DejaVu Sans'[^;\"]*", FONTS, svg)
    return re.sub(r'="[^"]*"', lambda m: re.sub(r"(\d+\.\d{2})\d+", r"\1", m[0]), svg)


def shown(text: str, limit: int = 24) -> str:
    """Return a label without control characters; a long one loses its middle."""
    clean = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    if len(clean) <= limit:
        return clean
    tail = limit // 2 - 1
    return f"{clean[: limit - 1 - tail].rstrip()}…{clean[-tail:].lstrip()}"


def two_lines(name: str, width: int) -> list[str]:
    """Return a name on at most two lines of about ``width`` characters, broken after ``_`` too."""
    for limit in range(2 * width, width, -1):
        spaced = shown(name, limit).replace("_", "_ ")
        lines = [line.replace("_ ", "_") for line in textwrap.wrap(spaced, width)]
        if len(lines) <= 2:
            return lines or [""]
    return [shown(name, width)]


def name_rows(axes: Axes, names: Sequence[str], *, width: int = 16) -> None:
    """Write row names left of the axes, at most two lines each, and set the rows' range."""
    axes.set_yticks(range(len(names)), [""] * len(names))
    axes.tick_params(axis="y", length=0)
    axes.set_ylim(len(names) - 0.5, -0.5)
    for y, name in enumerate(names):
        lines = two_lines(name, width)
        for i, line in enumerate(lines):
            axes.annotate(
                line,
                (0, y),
                xycoords=("axes fraction", "data"),
                xytext=(-6, (len(lines) - 1 - 2 * i) * 4.6),
                textcoords="offset points",
                ha="right",
                va="center",
            )


def legend_shape(names: Sequence[str]) -> tuple[int, int]:
    """Return columns and rows of a legend beneath a small figure."""
    longest = max(map(len, names), default=0)
    columns = min(1 if longest > 24 else 2 if longest > 13 else 3, max(len(names), 1))
    return columns, -(-len(names) // columns)


def legend(axes: Axes) -> None:
    """Write the legend beneath the axes, if anything on them is named."""
    handles, names = axes.get_legend_handles_labels()
    figure = axes.get_figure(root=True)
    if names and figure is not None:
        figure.legend(
            handles,
            names,
            loc="outside lower left",
            ncols=legend_shape(names)[0],
            handlelength=2.2,
            columnspacing=1.3,
        )


def plain_log(axis: Axis) -> None:
    """Mark a logarithmic axis at 1, 2 and 5 of each decade, in plain numbers."""
    axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:g}"))
    axis.set_minor_formatter(NullFormatter())
    axis.set_minor_locator(NullLocator())


def slug(name: str) -> str:
    """Return a name that is safe in file names and ids."""
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-") or "figure"


def colour(index: int) -> str:
    """Return the colour of the item with this place in its list."""
    return COLOURS[index % len(COLOURS)]


def marker(index: int) -> str:
    """Return the marker of the item with this place in its list.

    Where colours begin again, markers are moved on by one, so that no two items share both.
    """
    return MARKERS[(index + index // len(COLOURS)) % len(MARKERS)]


def stroke(index: int) -> str:
    """Return the line style of the item with this place in its list; it changes with the round."""
    return STROKES[index // len(COLOURS) % len(STROKES)]


def span(values: Iterable[float | None], *, zero: bool = False) -> tuple[float, float]:
    """Return axis limits that hold all values with a margin; with ``zero``, zero too."""
    known = [v for v in values if v is not None] + ([0.0] if zero else [])
    low, high = min(known, default=0.0), max(known, default=1.0)
    pad = 0.06 * (high - low) or 0.1 * abs(high) or 0.5
    return (0.0 if zero and low >= 0 else low - pad), high + pad
