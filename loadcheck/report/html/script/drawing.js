// The inside of a chart: axes, marks, lines, areas and their names.

const LABEL_GAP = 15;
const SHADES = 8;

Object.assign(Chart.prototype, {
  axes(x, y, yTicks, yNames, narrow) {
    const { spec, canvas } = this;
    const { box, domain } = this.geometry;
    const wanted = (box.right - box.left) / (narrow ? 62 : 80);
    yTicks.forEach((at, i) => {
      const look = at === 0 && this.geometry.yDomain[0] < 0 ? "axis" : "grid";
      svg("path", { d: `M${box.left},${y(at)}H${box.right}`, class: look }, canvas);
      svg("text", { x: box.left - 8, y: y(at) + 4, class: "tick end" }, canvas, yNames[i]);
    });
    let ticks;
    if (spec.x.scale === "percentile") ticks = percentileTicks(domain, wanted);
    else if (spec.x.scale === "log") ticks = logTicks(domain, wanted);
    else ticks = linearTicks(domain, wanted, spec.x.unit);
    let last = -Infinity;
    for (const at of ticks) {
      const name = WRITE[spec.x.unit](at);
      if (x(at) - last < name.length * 6.4 + 8) continue;
      last = x(at);
      svg("path", { d: `M${x(at)},${box.bottom}v5`, class: "axis" }, canvas);
      const edge = x(at) > box.right - 14 && narrow ? "end" : "middle";
      svg("text", { x: x(at), y: box.bottom + 18, class: `tick ${edge}` }, canvas, name);
    }
    svg("text", { x: box.right, y: box.bottom + 34, class: "axis-name end" }, canvas, spec.x.label);
    const scale = isLog(this.yScale) ? ", logarithmic" : "";
    svg("text", { x: 0, y: 12, class: "axis-name" }, canvas, `${spec.y.label}${scale}`);
  },

  /** Fill the cells of a heat map: one path for each shade, whatever the number of cells. */
  heat(parent, x, y) {
    const { heat } = this.spec;
    if (!heat) return;
    let most = 1;
    for (const cells of heat.cells) for (let i = 1; i < cells.length; i += 1) if (cells[i] > most) most = cells[i];
    const paths = new Array(SHADES).fill("");
    const edges = heat.y.map((at) => y(at).toFixed(1));
    heat.cells.forEach((cells, i) => {
      const from = x(heat.x[i]).toFixed(1);
      const to = x(heat.x[i + 1]).toFixed(1);
      for (let row = 1; row < cells.length; row += 1) {
        if (!cells[row]) continue;
        const shade = Math.min(SHADES - 1, Math.floor((SHADES * Math.log1p(cells[row])) / Math.log1p(most)));
        const at = cells[0] + row - 1;
        paths[shade] += `M${from},${edges[at]}H${to}V${edges[at + 1]}H${from}Z`;
      }
    });
    paths.forEach((d, shade) => {
      if (d) svg("path", { d, class: "cell", "fill-opacity": ((shade + 1) / SHADES).toFixed(2) }, parent);
    });
  },

  marks(inside, x, y) {
    const { box } = this.geometry;
    const { canvas } = this;
    const names = [];
    let stageEnd = -Infinity;
    for (const mark of this.spec.marks) {
      if (mark.axis === "x") {
        const from = x(mark.at);
        const to = mark.to === null ? from : x(mark.to);
        if (to < box.left || from > box.right) continue;
        if (mark.role === "stage") {
          if (from > box.left) svg("path", { d: `M${from},${box.top - 12}V${box.bottom}`, class: "stage" }, canvas);
          const start = Math.max(from, box.left) + 5;
          const room = Math.min(to, box.right) - start;
          if (mark.label.length * 6.2 < room && start > stageEnd) {
            svg("text", { x: start, y: box.top - 4, class: "stage-name" }, canvas, mark.label);
            stageEnd = start + mark.label.length * 6.2;
          }
        } else {
          const wide = Math.max(2, to - from);
          svg("rect", { x: from, y: box.top - 4, width: wide, height: box.bottom - box.top + 4, class: `window r-${mark.role}` }, inside);
          const flip = from + wide + mark.label.length * 7 > box.right;
          svg("text", { x: flip ? from - 5 : from + wide + 5, y: box.bottom - 8, class: `mark-name r-${mark.role} ${flip ? "end" : ""}` }, inside, mark.label);
        }
      } else {
        const at = y(mark.at);
        if (at < box.top - 2 || at > box.bottom) continue;
        const from = mark.span ? Math.max(x(mark.span[0]), box.left) : box.left;
        const to = mark.span ? Math.min(x(mark.span[1]), box.right) : box.right;
        if (to <= from) continue;
        svg("path", { d: `M${from},${at}H${to}`, class: `limit r-${mark.role}` }, inside);
        names.push([from + 6, at - box.top > 16 ? at - 5 : at + 13, mark]);
      }
    }
    return names;
  },

  one(series, parent, x, y, domain) {
    const { spec } = this;
    const step = series.shape === "step" || series.shape === "stack";
    const log = isLog(this.yScale);
    const floor = this.geometry.box.bottom + 8;
    const height = (entry) => (log && entry <= 0 ? floor : y(entry));
    const usable = (entry) => entry !== null && !(log && entry <= 0 && series.shape !== "band" && !step);
    const end = this.members.length > 1 || spec.group ? this.width(series) : 0;
    const line = (values) => {
      let path = "";
      let open = false;
      values.forEach((entry, i) => {
        if (!usable(entry)) { open = false; return; }
        const at = series.x[i];
        const px = x(at).toFixed(1);
        const py = height(entry).toFixed(1);
        path += open ? (step ? `H${px}V${py}` : `L${px},${py}`) : `M${px},${py}`;
        open = true;
      });
      if (step && open) path += `H${x(series.x[series.x.length - 1] + end).toFixed(1)}`;
      return path;
    };
    const visible = series.x.filter((at) => at >= domain[0] && at <= domain[1]).length;
    const room = this.geometry.box.right - this.geometry.box.left;
    const dense = visible > room * 0.4 && this.jagged(series, height);
    const look = `r-${series.role} ${dense ? "dense" : series.dash}${series.faint ? " faint" : ""}`;
    if (series.shape === "band" || series.shape === "stack") {
      for (const area of this.areas(series, x, height, step, end)) {
        svg("path", { d: area, class: `area ${look}` }, parent);
        if (series.shape === "stack") svg("path", { d: area, class: "hatch", fill: `url(#hatch-${series.role})` }, parent);
      }
      if (series.shape === "stack") svg("path", { d: line(series.y), class: `line thin r-${series.role}` }, parent);
      return;
    }
    if (series.shape !== "points") svg("path", { d: line(series.y), class: `line ${look}` }, parent);
    if (series.marker) {
      if (visible * 11 < room || series.shape === "points") {
        let path = "";
        series.x.forEach((at, i) => {
          if (usable(series.y[i])) path += SYMBOLS[series.marker](Number(x(at).toFixed(1)), Number(height(series.y[i]).toFixed(1)));
        });
        svg("path", { d: path, class: `marker ${series.marker} r-${series.role}` }, parent);
      }
    } else if (series.x.length === 1) {
      svg("path", { d: SYMBOLS.circle(x(series.x[0]), height(series.y[0])), class: `marker r-${series.role}` }, parent);
    }
  },

  /** Tell whether a line goes up and down so often that dashes in it would be noise. */
  jagged(series, height) {
    let way = 0;
    let last = null;
    for (const entry of series.y) {
      if (entry === null) continue;
      const at = height(entry);
      if (last !== null) way += Math.abs(at - last);
      last = at;
    }
    const { box } = this.geometry;
    return way > 4 * (box.bottom - box.top);
  },

  /** Return how long the last value of a series of steps holds. */
  width(series) {
    const n = series.x.length;
    return n > 1 ? series.x[n - 1] - series.x[n - 2] : 1;
  },

  areas(series, x, height, step, end) {
    const paths = [];
    let upper = "";
    let lower = [];
    const close = () => {
      if (lower.length) paths.push(`${upper}${lower.reverse().join("")}Z`);
      upper = "";
      lower = [];
    };
    series.x.forEach((at, i) => {
      if (series.y[i] === null || series.low[i] === null) { close(); return; }
      const next = step ? (series.x[i + 1] === undefined ? at + end : series.x[i + 1]) : null;
      const px = x(at).toFixed(1);
      const high = height(series.y[i]).toFixed(1);
      const low = height(series.low[i]).toFixed(1);
      upper += `${upper ? "L" : "M"}${px},${high}`;
      lower.push(`L${px},${low}`);
      if (next !== null) {
        upper += `L${x(next).toFixed(1)},${high}`;
        lower.push(`L${x(next).toFixed(1)},${low}`);
      }
    });
    close();
    return paths;
  },

  named() {
    return this.series.filter((one) => !one.quiet && !(one.shape === "band" && this.series.some((o) => o !== one && o.role === one.role)));
  },

  labelWidth() {
    if (!this.labelled) {
      const pen = document.createElement("canvas").getContext("2d");
      pen.font = `600 12.5px ${getComputedStyle(document.body).fontFamily}`;
      this.labelled = 20 + Math.max(0, ...this.named().map((one) => pen.measureText(one.label).width));
    }
    return this.labelled;
  },

  /** Write each series' name at its right end, pushed apart where they would meet. */
  labels(y, domain) {
    const { box, yDomain } = this.geometry;
    const placed = [];
    for (const one of this.named()) {
      let last = -1;
      one.x.forEach((at, i) => { if (at <= domain[1] && one.y[i] !== null) last = i; });
      if (last < 0) continue;
      const top = one.y[last];
      const middle = one.shape === "stack" ? (one.low[last] + top) / 2 : top;
      const log = isLog(this.yScale);
      const at = log && middle <= 0 ? box.bottom : y(Math.min(Math.max(middle, yDomain[0]), yDomain[1]));
      const stepped = one.shape === "step" || one.shape === "stack";
      const end = one.x[last] + (stepped ? this.width(one) : 0);
      const goesOn = one.y.some((entry, i) => i > last && entry !== null);
      const from = goesOn ? box.right : Math.min(this.geometry.x(end), box.right);
      placed.push({ one, at, wanted: at, from });
    }
    placed.sort((a, b) => a.at - b.at);
    for (let round = 0; round < 60; round += 1) {
      let moved = false;
      for (let i = 1; i < placed.length; i += 1) {
        const overlap = LABEL_GAP - (placed[i].at - placed[i - 1].at);
        if (overlap > 0.01) {
          placed[i - 1].at -= overlap / 2;
          placed[i].at += overlap / 2;
          moved = true;
        }
      }
      for (const label of placed) label.at = Math.min(Math.max(label.at, box.top), box.bottom - 5);
      if (!moved) break;
    }
    const last = Math.max(...placed.map(({ from }) => from));
    for (const { one, at, wanted, from } of placed) {
      const column = last - from < 40 ? last : from;
      svg("path", { d: `M${from + 3},${wanted}L${column + 11},${at}`, class: `lead-in r-${one.role}` }, this.canvas);
      const name = svg("text", { x: column + 14, y: at + 4, class: `label r-${one.role}${one.hidden ? " off" : ""}` }, this.canvas, one.label);
      if (one.shape === "stack") continue;
      name.classList.add("switch");
      name.addEventListener("click", () => this.hide(one));
    }
  },
});
