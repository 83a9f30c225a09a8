"""The style sheet of the report's page: light and dark, wide and narrow screens, and paper."""

from __future__ import annotations

__all__ = ["STYLE"]

# Kinds of mistakes and models never share a plot, yet have no colour in common, so that a colour means one thing. What
# a colour says is said in words beside it as well: in the legend, in the table below the plot, or under the pointer.
STYLE = (
    """
:root {
  color-scheme: light dark;
  --page: #f9f9f7; --card: #ffffff; --ink: #0b0b0b; --quiet: #52514e; --faint: #e1e0d9; --axis: #a09f98;
  --model0: #2a78d6; --model1: #eb6834;
  --kind0: #d9d8d1; --kind1: #eda100; --kind2: #4a3aa7; --kind3: #1baf7a; --kind4: #e34948; --kind5: #5c5b57;
  --kind6: #d9d8d1; --kind7: #1baf7a; --kind8: #e34948;
}
@media (prefers-color-scheme: dark) {
  :root {
    --page: #111110; --card: #1a1a19; --ink: #ffffff; --quiet: #c3c2b7; --faint: #33332f; --axis: #77766f;
    --model0: #3987e5; --model1: #d95926;
    --kind0: #4a4a45; --kind1: #c98500; --kind2: #9085e9; --kind3: #199e70; --kind4: #e66767; --kind5: #b0afa6;
    --kind6: #4a4a45; --kind7: #199e70; --kind8: #e66767;
  }
}
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 1rem; max-width: 68rem; background: var(--page); color: var(--ink);
  font: 1rem/1.5 system-ui, sans-serif; overflow-wrap: anywhere; }
h1 { font-size: 1.5rem; line-height: 1.2; margin: .5rem 0; }
h2 { font-size: 1.15rem; margin: 0 0 .25rem; }
h3 { font-size: 1rem; margin: 1rem 0 .25rem; }
p, dl, ul { margin: .25rem 0 .75rem; max-width: 44rem; }
p, dd, figcaption, summary { color: var(--quiet); }
dt { font-weight: 600; }
dd { margin: 0 0 .4rem 1rem; }
section { background: var(--card); border: 1px solid var(--faint); border-radius: .6rem; padding: 1rem;
  margin: 1rem 0; }
.headline { display: flex; flex-wrap: wrap; gap: .5rem 2.5rem; margin: .5rem 0 1rem; }
.headline b { display: block; font-size: 2rem; line-height: 1.1; font-weight: 600; }
.plots { display: grid; gap: 1rem; grid-template-columns: repeat(auto-fit, minmax(min(100%, 22rem), 1fr)); }
.small { display: grid; gap: .5rem; grid-template-columns: repeat(auto-fill, minmax(9rem, 1fr)); }
figure { margin: 0; min-width: 0; }
figcaption { font-size: .9rem; }
svg { display: block; width: 100%; max-width: 30rem; height: auto; }
svg text { fill: var(--quiet); font: 11px system-ui, sans-serif; }
svg .label { fill: var(--ink); }
svg .end { text-anchor: end; }
svg .middle { text-anchor: middle; }
svg .tick { font-size: 10px; font-variant-numeric: tabular-nums; }
svg .grid { stroke: var(--faint); }
svg .axis { stroke: var(--axis); }
svg .line { fill: none; stroke-width: 2; stroke-linejoin: round; }
svg .whisker { stroke-width: 2; stroke: var(--ink); }
svg .dot { stroke: var(--card); stroke-width: 1.5; fill: var(--ink); }
svg .unclear .whisker { stroke: var(--axis); }
svg .unclear .dot { fill: var(--axis); }
svg .line.model0, svg .whisker.model0 { stroke: var(--model0); }
svg .line.model1, svg .whisker.model1 { stroke: var(--model1); }
svg .dot.model0 { fill: var(--model0); }
svg .dot.model1 { fill: var(--model1); }
.legend { display: flex; flex-wrap: wrap; gap: .15rem 1rem; padding: 0; margin: .5rem 0; list-style: none;
  font-size: .9rem; max-width: none; }
.legend i { display: inline-block; width: .8em; height: .8em; border-radius: 2px; margin-right: .4em; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-size: .9rem; font-variant-numeric: tabular-nums; }
th, td { padding: .2rem .6rem; text-align: right; white-space: nowrap; border-bottom: 1px solid var(--faint); }
th { font-weight: 600; color: var(--quiet); }
th:first-child, td:first-child { text-align: left; padding-left: 0; }
details { margin: .5rem 0; }
summary { cursor: pointer; padding: .25rem 0; font-size: .9rem; }
.unit { padding: .75rem 0; border-top: 1px solid var(--faint); }
.pair { display: grid; gap: .5rem; grid-template-columns: 1fr 1fr; max-width: 44rem; }
.pair img { display: block; width: 100%; height: auto; border-radius: .3rem; }
"""
    + "".join(
        f"svg .kind{kind} {{ fill: var(--kind{kind}); }} i.kind{kind} {{ background: var(--kind{kind}); }}\n"
        for kind in range(9)
    )
    + "i.model0 { background: var(--model0); } i.model1 { background: var(--model1); }\n"
)
