"""The report as one page of HTML that needs nothing else: no scripts, no other files, no addresses."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape

from ltsh_deploy.evaluation.analysis import Bin, Breakdown
from ltsh_deploy.evaluation.comparison import Comparison
from ltsh_deploy.evaluation.error_kinds import EXTRA_KINDS, KINDS
from ltsh_deploy.evaluation.page_parts import data_uri, details, number, readable, section, spread, swatch, table
from ltsh_deploy.evaluation.page_style import STYLE
from ltsh_deploy.evaluation.page_texts import (
    BIN_TEXTS,
    BREAKDOWNS,
    FOUND_TEXTS,
    KIND_NAMES,
    KIND_TEXTS,
    METRIC_TEXTS,
    top_down,
)
from ltsh_deploy.evaluation.plots import Row, curve_plot, difference_plot, interval_plot, share_plot
from ltsh_deploy.evaluation.report_data import DrawnUnit, ModelAnalysis, Report

__all__ = ["page"]


def page(report: Report) -> str:
    """The whole page."""
    names = " and ".join(model.name for model in report.models)
    title = f"Evaluation of {names}"
    sources = "".join(f"<li>{escape(model.name)}: {escape(model.source)}</li>" for model in report.models)
    sections = [
        _figures(report),
        _comparison(report),
        _curves(report),
        _breakdowns(report),
        _errors(report),
        _worst(report),
    ]
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{STYLE}</style></head>\n<body>"
        f"<h1>{escape(title)}</h1>"
        f"<p>{report.units} units with {report.people} people of {escape(report.source)} ({escape(report.kind)}).</p>"
        f"<ul>{sources}</ul>"
        f"{''.join(sections)}</body></html>\n"
    )


def _figures(report: Report) -> str:
    headline = next(iter(report.models[0].figures))
    great = "".join(
        f"<div><b>{number(model.figures[headline])}</b>{swatch(f'model{m}')}{escape(model.name)}: {headline}</div>"
        for m, model in enumerate(report.models)
    )
    names = list(report.models[0].figures)
    names = [names[i] for i in top_down(names)]
    figures = _figure_table(report, names, [model.figures for model in report.models])
    first = report.models[0].rows
    if first:
        rows = _figure_table(report, list(first), [model.rows for model in report.models])
        figures = rows + details("Joint by joint", figures)
    odd = ""
    for model in report.models:
        notes = "".join(f"<li>{escape(note)}</li>" for note in model.notes)
        odd += f"<h3>Notes on {escape(model.name)}</h3><ul>{notes}</ul>" if notes else ""
    return section("Figures", METRIC_TEXTS[report.metric], f'<div class="headline">{great}</div>{figures}{odd}')


def _figure_table(report: Report, names: Sequence[str], values: Sequence[dict[str, float]]) -> str:
    """A line a model; or a line a figure, where there are too many to stand side by side."""
    if len(names) > 10:
        body = [[readable(name), *(number(row[name]) for row in values)] for name in names]
        return table(["Figure", *(model.name for model in report.models)], body)
    body = [
        [model.name, *(number(row[name]) for name in names)] for model, row in zip(report.models, values, strict=True)
    ]
    return table(["Model", *map(readable, names)], body)


def _comparison(report: Report) -> str:
    if report.comparison is None:
        return ""
    found: Comparison = report.comparison
    first, second = (escape(model.name) for model in report.models)
    differences = [found.differences[i] for i in top_down([d.name for d in found.differences])]
    plot = difference_plot("Differences with their intervals", [(readable(d.name), d.change) for d in differences])
    body = [
        [
            readable(d.name),
            number(d.first),
            number(d.second),
            number(d.change.value, "+.2f"),
            spread(d.change.low, d.change.high, "+.2f"),
            number(d.p_value, ".3f"),
        ]
        for d in differences
    ]
    numbers = table(["Figure", report.models[0].name, report.models[1].name, "Change", "95 % interval", "p"], body)
    text = (
        f"How much higher {second} is than {first}: to the right of zero {second} is better. The bar is the 95 % "
        f"interval of a paired bootstrap over the {found.units} units ({found.draws} draws, seed {found.seed}); pale "
        "where it holds zero. p is two-sided and not corrected for looking at many figures: judge by the first."
    )
    return section("Comparison", text, f"<figure>{plot}</figure>{details('Numbers', numbers)}")


def _curves(report: Report) -> str:
    if not report.models[0].curves:
        return ""
    plots = []
    together = list(zip(*(model.curves for model in report.models), strict=True))
    for curves in (together[i] for i in top_down([curves[0].name for curves in together])):
        points = [(curve.recalls.tolist(), curve.precisions.tolist()) for curve in curves]
        notes = [number(curve.area, ".1f") for curve in curves]
        plots.append(f"<figure>{curve_plot(readable(curves[0].name), points, notes)}</figure>")
    text = (
        "Precision (upwards) over recall, as its monotone envelope. The number is the area under it, which is the AP."
    )
    return section("Precision and recall", text, f'{_models(report)}<div class="small">{"".join(plots)}</div>')


def _breakdowns(report: Report) -> str:
    headline = next(iter(report.models[0].figures))
    figures = []
    for breakdown in report.breakdowns:
        bins = [own for own in breakdown.bins if own.people or breakdown.name == "visible_joints"]
        if len(bins) < 2:
            continue
        title, text = BREAKDOWNS[breakdown.name]
        labels = [(_bin_label(breakdown, own), f"{own.people} / {own.units}") for own in bins]
        models = [[own.values[m] for own in bins] for m in range(len(report.models))]
        unknown = f" Of {breakdown.unknown} people it is not known." if breakdown.unknown else ""
        header = [title, "People", "Units", *(model.name for model in report.models)]
        body = [
            [
                _bin_label(breakdown, own),
                str(own.people),
                str(own.units),
                *(f"{number(v.value)} ({spread(v.low, v.high)})" for v in own.values),
            ]
            for own in bins
        ]
        figures.append(
            f"<figure><h3>{title}</h3>{interval_plot(f'{headline}: {title}', labels, models)}"
            f"<figcaption>{text}{unknown}</figcaption>{details('Numbers', table(header, body))}</figure>"
        )
    text = (
        f"{headline} of the people of each bin alone, with its 95 % bootstrap interval; below each bin stands how many "
        "people are in it, and in how many units; where that is one, there is no interval. "
        f"{BIN_TEXTS.get(report.metric, '')}"
    )
    return section("Who is found", text, f'{_models(report)}<div class="plots">{"".join(figures)}</div>')


def _errors(report: Report) -> str:
    parts = []
    for model in report.models:
        order = top_down(report.joints)
        rows = [Row(readable(report.joints[k]), tuple(model.kinds[:, k].tolist())) for k in order]
        plot = share_plot(f"Annotated joints of {model.name} by kind", rows, [KIND_NAMES[kind] for kind in KINDS])
        parts.append(
            f"<figure><h3>{escape(model.name)}</h3>{plot}{details('Numbers', _kind_table(report, model))}</figure>"
        )
    legend = "".join(f"<li>{swatch(f'kind{i}')}{escape(KIND_NAMES[kind])}</li>" for i, kind in enumerate(KINDS))
    texts = "".join(
        f"<dt>{escape(KIND_NAMES[kind])}</dt><dd>{escape(KIND_TEXTS[kind])}</dd>" for kind in (*KINDS, *EXTRA_KINDS)
    )
    costs = _costs(report)
    return section(
        "What kind of mistakes",
        f"Each annotated joint is of one kind; a bar is all annotated joints of a name. {FOUND_TEXTS[report.metric]}",
        f'<ul class="legend">{legend}</ul><div class="plots">{"".join(parts)}</div>{costs}'
        f"{details('What the kinds mean', f'<dl>{texts}</dl>')}",
    )


def _kind_table(report: Report, model: ModelAnalysis) -> str:
    header = ["Joint", *(KIND_NAMES[kind] for kind in (*KINDS, *EXTRA_KINDS))]
    body = [
        [readable(report.joints[k]), *map(str, model.kinds[:, k].tolist()), *map(str, model.extra[:, k].tolist())]
        for k in top_down(report.joints)
    ]
    total = ["All", *map(str, model.kinds.sum(axis=1).tolist()), *map(str, model.extra.sum(axis=1).tolist())]
    return table(header, [*body, total])


def _costs(report: Report) -> str:
    """What the headline would be without each kind of mistake."""
    if not report.models[0].mended:
        return ""
    headline = next(iter(report.models[0].figures))
    body = []
    for kind in report.models[0].mended:
        gains = (model.mended[kind] - model.figures[headline] for model in report.models)
        body.append([KIND_NAMES[kind], *(number(gain, "+.2f") for gain in gains)])
    return (
        f"<h3>What each kind costs</h3><p>How much {headline} would rise if this kind of mistake alone were mended. "
        f"The gains do not add up.</p>{table(['Kind', *(model.name for model in report.models)], body)}"
    )


def _worst(report: Report) -> str:
    parts = []
    for model in report.models:
        units = "".join(_unit(unit) for unit in model.worst) or "<p>In no unit is anything wrong.</p>"
        parts.append(f"<h3>{escape(model.name)}</h3>{units}")
    text = (
        "The units whose joints have the lowest F1 score, 2 found / (annotated + predicted). "
        "Left the labels, right what was predicted."
    )
    return section("Worst units", text, "".join(parts))


def _unit(unit: DrawnUnit) -> str:
    tally = unit.tally
    wrong = ", ".join(f"{count} {KIND_NAMES[kind].lower()}" for kind, count in tally.kinds.items() if count)
    image = f" of {unit.image_name}" if unit.image_name not in ("", unit.unit_id) else ""
    pictures = "".join(
        f'<img alt="{what} poses of {escape(unit.unit_id)}" src="{data_uri(data)}">'
        for what, data in (("true", unit.true), ("predicted", unit.predicted))
    )
    reason = f" Drawn without the picture: {escape(unit.no_picture)}." if unit.no_picture else ""
    return (
        f'<figure class="unit"><figcaption><b>{escape(unit.unit_id + image)}</b>: F1 {unit.score:.2f}; of '
        f"{tally.annotated} annotated and {tally.predicted} predicted joints: {escape(wrong)}.{reason}</figcaption>"
        f'<div class="pair">{pictures}</div></figure>'
    )


def _models(report: Report) -> str:
    """The legend of the models; one alone needs none."""
    if len(report.models) == 1:
        return ""
    entries = "".join(f"<li>{swatch(f'model{m}')}{escape(model.name)}</li>" for m, model in enumerate(report.models))
    return f'<ul class="legend">{entries}</ul>'


def _bin_label(breakdown: Breakdown, own: Bin) -> str:
    low, high = own.low, own.high
    if breakdown.name == "visible_joints":
        return f"{100 * low:.0f}-{100 * high:.0f} %"
    if breakdown.name == "people":
        return f"{low:g}+" if math.isinf(high) else f"{low:g}" if high == low + 1 else f"{low:g}-{high - 1:g}"
    if breakdown.name == "camera_pitch":
        return (
            f"below {high:g}°" if math.isinf(low) else f"{low:g}° up" if math.isinf(high) else f"{low:g} to {high:g}°"
        )
    return f"{low:.0f}-{high:.0f} px"
