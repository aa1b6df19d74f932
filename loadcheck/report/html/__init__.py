"""A result as one HTML page that needs nothing but a browser: no network, no other file.

The charts are drawn as SVG by a script of our own (``script/``, 33 kB) from data inside the page,
so that they take colours, dark mode and print from the page's style sheet and answer to the
keyboard. Two libraries were weighed. plotly's script is 4.7 MB in every report and needs inline
styles that a strict content security policy refuses. uPlot 1.6.32 (51 kB, minified) draws on a
canvas, which prints as a raster, has no keyboard control, and wants one x-axis for all series;
with the code for what it lacks the house would not be smaller. A page without scripts still has
every number in tables.
"""

from loadcheck.report.html.render import page

__all__ = ["page"]
