"""A result as one HTML page that needs nothing but a browser: no network, no other file.

The charts are drawn by a script of our own (``script/``) from data inside the page. A plotting
library was weighed: plotly's script alone is 4.7 MB in every report, knows no keyboard, follows
neither a dark page nor the width of paper, and needs inline styles that a strict content security
policy refuses. Ours is a few hundred lines, coloured by the page's own style sheet, and a page
without scripts still has every number in tables.
"""

from loadcheck.report.html.render import page

__all__ = ["page"]
