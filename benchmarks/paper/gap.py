"""How much of the gap between zero-filled and fully sampled data a method closes."""

from collections.abc import Mapping, Sequence

from paper.budget import Budget
from paper.grid import TYPES, Grid
from paper.rows import Row, percent
from paper.spread import Spread

_UPPER, _LOWER = "fully_sampled", "zero_filling"


def gaps(row: Row, upper: Row, lower: Row) -> dict[int, float | None]:
    """Gap closed by a row, for each seed that all three rows have: (row - lower) / (upper - lower).

    Args:
        row: the method.
        upper: Fully-sampled.
        lower: Zero-filling.

    Returns:
        The share by seed; None where the fully sampled network is not the better one, so that there is no gap.
    """
    values, high, low = row.by_seed(), upper.by_seed(), lower.by_seed()
    shared = [seed for seed in values if seed in high and seed in low]
    return {
        seed: (values[seed] - low[seed]) / (high[seed] - low[seed]) if high[seed] > low[seed] else None
        for seed in shared
    }


def gap_markdown(tables: Mapping[float, Sequence[Row]], grid: Grid, budget: Budget) -> str:
    """Lay out the gap closed by every method that reconstructs and has been run, beside the paper's.

    Args:
        tables: rows by noise level.
        grid: holds the paper's Dice.
        budget: noise levels.
    """
    header = "".join(f" {percent(noise)} noise | the paper's |" for noise in budget.noises)
    lines = [f"| method | type |{header}", "|---|---|" + "---|---|" * len(budget.noises)]
    known = {noise: {(row.method.name, row.block): row for row in rows} for noise, rows in tables.items()}
    for name, block in known[budget.noises[0]]:
        found = [known[noise].get((name, block)) for noise in budget.noises]
        if block is None or not any(row and row.done for row in found):
            continue
        cells = []
        for noise, row in zip(budget.noises, found, strict=True):
            bounds = known[noise][_UPPER, None], known[noise][_LOWER, None]
            cells += [_gap_text(row, *bounds), _paper_gap(row, grid, noise)] if row else ["-", ""]
        title, kind = grid.methods[name].title, TYPES[block]
        lines.append(f"| {title} | {kind} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _gap_text(row: Row, upper: Row, lower: Row) -> str:
    if not row.done:
        return "-"
    missing = [bound.title for bound in (upper, lower) if not bound.done]
    if missing:
        return f"missing: {', '.join(missing)}"
    found = gaps(row, upper, lower)
    if not found:
        return "missing: no seed in common"
    if None in found.values():
        return "no gap: Fully-sampled is not better than Zero-filling"
    text = Spread(tuple(share for share in found.values() if share is not None)).text(2)
    planned = {outcome.cell.seed for outcome in row.outcomes}
    return text if len(found) == len(planned) else f"{text} ({len(found)} of {len(planned)} seeds)"


def _paper_gap(row: Row, grid: Grid, noise: float) -> str:
    known = grid.paper_dice.get(row.method.name, {})
    # The paper does not say which block its SegNetMRI has.
    printed = known.get(row.block or "none") or known.get("none") or {}
    if noise not in printed:
        return ""
    upper, lower = (grid.paper_dice[name]["none"][noise] for name in (_UPPER, _LOWER))
    return f"{(printed[noise] - lower) / (upper - lower):.2f}"
