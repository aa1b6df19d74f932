// A chart: its data, its controls, and the stretch of them that is shown.

const NARROW = 560;

const groups = new Map();
const charts = [];

class Chart {
  constructor(spec, figure) {
    this.spec = spec;
    this.figure = figure;
    this.plot = figure.querySelector(".plot");
    this.tools = figure.querySelector(".tools");
    this.yScale = spec.y.scale;
    this.cursor = null;
    this.take(spec);
    this.members = spec.group ? groups.get(spec.group) || [] : [];
    if (spec.group) groups.set(spec.group, this.members);
    this.members.push(this);
    this.build();
  }

  /** Take the values of a chart, at first and whenever there are more. */
  take(spec) {
    this.spec = spec;
    const hidden = new Set((this.series || []).filter((one) => one.hidden).map((one) => one.label));
    this.series = spec.series.map((one) => ({ ...one, x: spec.xs[one.x], hidden: hidden.has(one.label) }));
    this.stack();
    const ends = spec.heat ? spec.heat.x : [];
    const all = this.series.flatMap((one) => (one.x.length ? [one.x[0], one.x[one.x.length - 1]] : []));
    if (ends.length) all.push(ends[0], ends[ends.length - 1]);
    this.extent = [Math.min(...all), Math.max(...all)];
    this.points = [...new Set(this.series.flatMap((one) => one.x))].sort((a, b) => a - b);
  }

  /** Put areas on top of each other. */
  stack() {
    let below = null;
    for (const one of this.series) {
      if (one.shape !== "stack") continue;
      one.low = one.y.map((_, i) => (below ? below[i] : 0));
      one.own = one.y;
      one.y = one.y.map((entry, i) => one.low[i] + (entry || 0));
      below = one.y;
    }
  }

  build() {
    const { spec } = this;
    this.plot.replaceChildren();
    this.plot.tabIndex = 0;
    this.plot.setAttribute("role", "group");
    this.plot.setAttribute(
      "aria-label",
      `${spec.title}: chart. Arrow keys move from point to point, plus and minus zoom, 0 shows all.`,
    );
    this.legend = html("ul", "legend", this.plot);
    this.entries = new Map();
    for (const one of this.series) this.legendEntry(one);
    this.canvas = svg("svg", { role: "img", "aria-label": this.summary() });
    this.plot.append(this.canvas);
    this.readout = html("div", "readout", this.plot);
    this.live = html("p", "hidden", this.plot);
    this.live.setAttribute("aria-live", "polite");
    this.buttons();
    this.listen();
  }

  summary() {
    const names = this.named().map((one) => one.label);
    return `${this.spec.title}: ${names.join(", ")}. The data is in the table after the chart.`;
  }

  legendEntry(one) {
    if (!this.named().includes(one)) return;
    const entry = html("li", "", this.legend);
    const sample = svg("svg", { width: 26, height: 12, "aria-hidden": "true" }, entry);
    if (one.shape === "stack" || one.shape === "band") {
      svg("rect", { x: 1, y: 1, width: 24, height: 10, class: `area r-${one.role}` }, sample);
      if (one.shape === "stack") svg("rect", { x: 1, y: 1, width: 24, height: 10, fill: `url(#hatch-${one.role})` }, sample);
    } else if (one.shape !== "points") {
      svg("path", { d: "M1,6H25", class: `line r-${one.role} ${one.dash}${one.faint ? " faint" : ""}` }, sample);
    }
    if (one.marker) svg("path", { d: SYMBOLS[one.marker](13, 6), class: `marker ${one.marker} r-${one.role}` }, sample);
    if (one.shape === "stack") html("span", "", entry, one.label);
    else {
      const button = html("button", "", entry, one.label);
      button.type = "button";
      button.addEventListener("click", () => this.hide(this.series.find((other) => other.label === one.label)));
      this.entries.set(one.label, button);
    }
  }

  /** Take a series out of the chart, or put it back; what is drawn as one area belongs together. */
  hide(one) {
    if (!one || one.shape === "stack") return;
    one.hidden = !one.hidden;
    for (const other of this.series) if (other.shape === "band" && other.role === one.role) other.hidden = one.hidden;
    const button = this.entries.get(one.label);
    if (button) button.setAttribute("aria-pressed", String(!one.hidden));
    this.draw();
  }

  shown() {
    return this.series.filter((one) => !one.hidden);
  }

  buttons() {
    const add = (label, title, action) => {
      const button = html("button", "", this.tools, label);
      button.type = "button";
      button.title = title;
      button.setAttribute("aria-label", `${title}: ${this.spec.title}`);
      button.addEventListener("click", action);
      return button;
    };
    if (this.spec.y.switch && this.positive()) {
      this.toggle = add("", "Linear or logarithmic", () => this.switchScale());
      this.nameToggle();
    }
    add("+", "Zoom in", () => this.zoom(0.5));
    add("−", "Zoom out", () => this.zoom(2));
    this.reset = add("All", "Show all", () => this.show(null));
  }

  positive() {
    return this.series.some((one) => one.y.some((entry) => entry > 0));
  }

  nameToggle() {
    this.toggle.textContent = isLog(this.yScale) ? "log" : "linear";
    this.toggle.setAttribute("aria-label", `${this.toggle.textContent} scale, linear or logarithmic: ${this.spec.title}`);
    this.toggle.setAttribute("aria-pressed", String(isLog(this.yScale)));
  }

  switchScale() {
    this.yScale = isLog(this.yScale) ? "linear" : "log";
    this.nameToggle();
    this.draw();
  }

  // the stretch of x that is shown, which charts of a group have in common

  full() {
    const lows = this.members.map((one) => one.extent[0]);
    const highs = this.members.map((one) => one.extent[1]);
    return [Math.min(...lows), Math.max(...highs)];
  }

  domain() {
    return this.zoomed || this.full();
  }

  show(domain) {
    const full = this.full();
    let next = domain;
    if (next) {
      next = [Math.max(full[0], next[0]), Math.min(full[1], next[1])];
      const whole = next[0] <= full[0] && next[1] >= full[1];
      if (whole || !(next[1] > next[0])) next = null;
    }
    for (const one of this.members) {
      one.zoomed = next;
      one.draw();
    }
  }

  zoom(factor) {
    const log = isLog(this.spec.x.scale);
    const to = log ? Math.log10 : (v) => v;
    const back = log ? (v) => 10 ** v : (v) => v;
    const [low, high] = this.domain().map(to);
    const middle = this.cursor === null ? (low + high) / 2 : to(this.cursor);
    this.show([back(middle - (middle - low) * factor), back(middle + (high - middle) * factor)]);
  }

  draw() {
    const width = Math.round(this.paper || this.plot.clientWidth);
    if (!width) return;
    const { spec } = this;
    const narrow = width < NARROW;
    const labelled = !narrow;
    this.plot.classList.toggle("narrow", narrow);
    this.reset.disabled = !this.zoomed;
    const height = narrow ? Math.min(spec.height, 260) : spec.height;
    const domain = this.domain();
    const yDomain = this.yDomain(domain);
    const yLog = isLog(this.yScale);
    const yTicks = (yLog ? logTicks(yDomain, height / 45) : linearTicks(yDomain, height / 48, spec.y.unit));
    const yNames = yTicks.map(tickWriter(spec.y.unit, yDomain[1]));
    const right = labelled ? Math.max(...this.members.map((one) => one.labelWidth())) : 10;
    const left = narrow ? 60 : 64;
    const box = { left, right: width - right, top: 34, bottom: height - 38 };
    const x = position(domain, isLog(spec.x.scale), box.left, box.right);
    const y = position(yDomain, yLog, box.bottom, box.top);
    this.geometry = { box, domain, x, y, yDomain, width, height };
    const { canvas } = this;
    canvas.replaceChildren();
    canvas.setAttribute("viewBox", `0 0 ${width} ${height}`);
    const clip = `clip-${spec.name}`;
    const defs = svg("defs", {}, canvas);
    // markers at the very ends are not cut in half
    const spare = this.zoomed ? 0 : 5;
    svg("rect", { x: box.left - spare, y: box.top - 4, width: box.right - box.left + 2 * spare, height: box.bottom - box.top + 8 },
      svg("clipPath", { id: clip }, defs));
    this.axes(x, y, yTicks, yNames, narrow);
    const inside = svg("g", { "clip-path": `url(#${clip})` }, canvas);
    this.heat(inside, x, y);
    const names = this.marks(inside, x, y);
    for (const one of this.shown()) this.one(one, inside, x, y, domain);
    for (const [at, height, mark] of names) {
      svg("text", { x: at, y: height, class: `mark-name r-${mark.role}` }, inside, mark.label);
    }
    svg("path", { d: `M${box.left},${box.bottom}H${box.right}`, class: "axis" }, canvas);
    if (labelled) this.labels(y, domain);
    this.drag = svg("rect", { class: "drag", y: box.top, height: box.bottom - box.top, width: 0 }, canvas);
    this.hover = svg("g", { class: "hover" }, canvas);
    this.point(this.cursor);
  }

  yDomain(domain) {
    const log = isLog(this.yScale);
    let low = Infinity;
    let high = -Infinity;
    const take = (entry) => {
      if (entry === null || entry === undefined || (log && entry <= 0)) return;
      if (entry < low) low = entry;
      if (entry > high) high = entry;
    };
    for (const one of this.shown()) {
      one.x.forEach((at, i) => {
        const next = one.x[i + 1];
        const visible = at <= domain[1] && (at >= domain[0] || (next !== undefined && next >= domain[0]));
        if (!visible) return;
        take(one.y[i]);
        if (one.low && one.shape === "band") take(one.low[i]);
      });
    }
    const { heat } = this.spec;
    if (heat) {
      take(heat.y[0]);
      take(heat.y[heat.y.length - 1]);
      return [low, high];
    }
    if (!(high > -Infinity)) return log ? [1, 10] : [0, 1];
    for (const mark of this.spec.marks) {
      // a limit far away would squeeze what was measured
      if (mark.axis === "y" && mark.at < high * (log ? 30 : 2.5)) take(mark.at);
    }
    if (log) {
      if (high / low < 3) { low /= 1.7; high *= 1.7; }
      return [low / 1.15, high * 1.25];
    }
    const zoomedIn = this.spec.y.unit === "count" && low > high * 0.7 && this.zoomed;
    if (low < 0) return [low * 1.1, Math.max(high, 0) * 1.1 || -low * 0.1];
    if (zoomedIn) return [low - (high - low) * 0.1, high + (high - low) * 0.1 + 1];
    return [0, high * 1.06 || (this.spec.y.unit === "share" ? 0.01 : 1)];
  }
}
