"""Pieces of plots."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.axes import Axes


def bars(
    axes: Axes, labels: Sequence[str], values: Sequence[float], unit: str, color: str | list[str] = "tab:blue"
) -> None:
    """Horizontal bars from top to bottom, each with its value."""
    drawn = axes.barh(labels, values, color=color)
    # Legible where the line of a budget is behind them.
    axes.bar_label(
        drawn,
        [f"{value:,.3g}" if value < 100 else f"{value:,.0f}" for value in values],
        padding=4,
        bbox={"facecolor": "white", "edgecolor": "none", "pad": 1},
    )
    axes.invert_yaxis()
    axes.set_xlabel(unit)
    axes.set_xlim(0, max(values) * 1.15)


def limit(axes: Axes, value: float, label: str, color: str = "tab:red") -> None:
    """The line of a budget over horizontal bars."""
    axes.axvline(value, color=color, linestyle="--", label=label)
    axes.legend(loc="lower right", bbox_to_anchor=(1, 1), borderaxespad=0, ncols=2, frameon=False)
    axes.set_xlim(0, max(axes.get_xlim()[1], value * 1.05))
