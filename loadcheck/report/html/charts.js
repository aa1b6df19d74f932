// Draws the page's charts as SVG from the data inside the page. Colours come from the style sheet,
// by the role of a series, so that dark pages and paper need nothing from here.
"use strict";
(() => {
  const SVG = "http://www.w3.org/2000/svg";
  const NARROW = 560;
  const LABEL_GAP = 15;
  const MIN_DRAG = 6;

  const data = JSON.parse(document.getElementById("data").textContent);
  const began = data.began_at ? Date.parse(data.began_at) : NaN;

  // -- how values are written ------------------------------------------------------------------

  const grouped = new Intl.NumberFormat("en-US", { maximumFractionDigits: 0 });
  const significant = (value) => String(Number(value.toPrecision(3)));

  function duration(ms) {
    if (ms === 0) return "0";
    if (ms < 1) return `${significant(ms * 1000)} µs`;
    if (ms < 1000) return `${significant(ms)} ms`;
    if (ms < 60000) return `${significant(ms / 1000)} s`;
    return clock(ms / 1000);
  }

  function clock(seconds) {
    const whole = Math.round(Math.abs(seconds) * 10) / 10;
    const sign = seconds < -0.05 ? "−" : "";
    if (whole < 60) return `${sign}${significant(whole)} s`;
    const rest = String(Math.floor(whole % 60)).padStart(2, "0");
    const minutes = Math.floor(whole / 60);
    if (minutes < 60) return `${sign}${minutes}:${rest}`;
    return `${sign}${Math.floor(minutes / 60)}:${String(minutes % 60).padStart(2, "0")}:${rest}`;
  }

  /** Return the time of day, to look for in other tools; empty if nobody knows it. */
  function timeOfDay(seconds) {
    if (Number.isNaN(began)) return "";
    return `, ${new Date(began + seconds * 1000).toISOString().slice(11, 19)} UTC`;
  }

  function percentile(x) {
    if (x <= 1) return "0 %";
    const digits = Math.max(0, Math.ceil(Math.log10(x) - 1e-9) - 1) + (x < 10 ? 0 : 0);
    return `${Number((100 * (1 - 1 / x)).toFixed(Math.min(digits, 8)))} %`;
  }

  const count = (value) =>
    Math.abs(value) < 10 && value % 1 ? significant(value) : grouped.format(value);

  const WRITE = {
    clock,
    ms: duration,
    s: (value) => duration(value * 1000),
    rate: (value) => `${count(value)}/s`,
    count,
    share: (value) => `${value < 0 ? "−" : ""}${significant(Math.abs(value) * 100)} %`,
    percentile: (value) => (value >= 1e7 ? "max" : percentile(value)),
  };

  /** Return how the ticks of an axis are written: millions would not fit as they are. */
  function tickWriter(unit, highest) {
    if (unit !== "count" || highest < 1e6) return WRITE[unit];
    return (value) => (value ? `${significant(value / 1e6)} M` : "0");
  }

  // -- scales ----------------------------------------------------------------------------------

  const isLog = (scale) => scale !== "linear";

  function position(domain, log, from, to) {
    const f = log ? (v) => Math.log10(Math.max(v, 1e-12)) : (v) => v;
    const low = f(domain[0]);
    const span = f(domain[1]) - low || 1;
    return (value) => from + ((f(value) - low) / span) * (to - from);
  }

  function value(domain, log, share) {
    if (!log) return domain[0] + share * (domain[1] - domain[0]);
    const low = Math.log10(domain[0]);
    return 10 ** (low + share * (Math.log10(domain[1]) - low));
  }

  function linearTicks(domain, wanted, unit) {
    const span = domain[1] - domain[0] || 1;
    const steps = unit === "clock" ? [1, 2, 5, 10, 15, 30, 60] : [1, 2, 2.5, 5, 10];
    let base = 10 ** Math.floor(Math.log10(span / wanted));
    if (unit === "clock" && span / wanted >= 1) base = 60 ** Math.floor(Math.log(span / wanted) / Math.log(60));
    let step = steps.map((one) => one * base).find((one) => span / one <= wanted) || base * 60;
    if (unit === "count") step = Math.max(1, Math.ceil(step));
    if (unit === "clock") step = Math.max(step, 0.1);
    const ticks = [];
    for (let at = Math.ceil(domain[0] / step - 1e-9) * step; at <= domain[1] + step * 1e-6; at += step) {
      ticks.push(Number(at.toPrecision(12)));
    }
    return ticks;
  }

  function logTicks(domain, wanted) {
    const low = Math.floor(Math.log10(domain[0]) + 1e-9);
    const high = Math.ceil(Math.log10(domain[1]) - 1e-9);
    const decades = Math.log10(domain[1] / domain[0]);
    const parts = decades <= 1.2 ? [1, 2, 3, 5, 7] : decades <= 2.5 && wanted > 4 ? [1, 2, 5] : [1];
    const skip = Math.max(1, Math.ceil(decades / (wanted + 1)));
    const ticks = [];
    for (let power = low; power <= high; power += 1) {
      if (parts.length === 1 && (power - low) % skip) continue;
      for (const part of parts) {
        const at = part * 10 ** power;
        if (at >= domain[0] * 0.999 && at <= domain[1] * 1.001) ticks.push(at);
      }
    }
    return ticks;
  }

  function percentileTicks(domain, wanted) {
    const few = wanted < 7 ? [1, 10, 100, 1000] : [1, 2, 4, 10, 20, 100, 1000];
    for (let at = 10000; at <= domain[1] * 1.001; at *= 10) few.push(at);
    return few.filter((at) => at >= domain[0] * 0.999 && at <= domain[1] * 1.001);
  }

  // -- small helpers ---------------------------------------------------------------------------

  function svg(name, attributes, parent, text) {
    const element = document.createElementNS(SVG, name);
    for (const [key, entry] of Object.entries(attributes)) element.setAttribute(key, entry);
    if (text !== undefined) element.textContent = text;
    if (parent) parent.append(element);
    return element;
  }

  function html(name, className, parent, text) {
    const element = document.createElement(name);
    if (className) element.className = className;
    if (text !== undefined) element.textContent = text;
    if (parent) parent.append(element);
    return element;
  }

  /** Return the index of the last x that is not beyond a place. */
  function before(xs, at) {
    let low = 0;
    let high = xs.length;
    while (high - low > 1) {
      const middle = (low + high) >> 1;
      if (xs[middle] <= at) low = middle;
      else high = middle;
    }
    return low;
  }

  function nearest(xs, at) {
    const low = before(xs, at);
    const high = Math.min(low + 1, xs.length - 1);
    return Math.abs(xs[high] - at) < Math.abs(xs[low] - at) ? high : low;
  }

  const SYMBOLS = {
    circle: (x, y) => `M${x - 3},${y}a3,3 0 1,0 6,0a3,3 0 1,0 -6,0Z`,
    square: (x, y) => `M${x - 3},${y - 3}h6v6h-6Z`,
    triangle: (x, y) => `M${x},${y - 4}l4,7h-8Z`,
    diamond: (x, y) => `M${x},${y - 4}l4,4l-4,4l-4,-4Z`,
    cross: (x, y) => `M${x - 4},${y - 4}l8,8M${x + 4},${y - 4}l-8,8`,
  };

  // -- a chart ---------------------------------------------------------------------------------

  const groups = new Map();
  const charts = [];

  class Chart {
    constructor(spec, figure) {
      this.spec = spec;
      this.figure = figure;
      this.plot = figure.querySelector(".plot");
      this.tools = figure.querySelector(".tools");
      this.yScale = spec.y.scale;
      this.series = spec.series.map((one) => ({ ...one, x: spec.xs[one.x] }));
      this.stack();
      const all = this.series.flatMap((one) => (one.x.length ? [one.x[0], one.x[one.x.length - 1]] : []));
      this.extent = [Math.min(...all), Math.max(...all)];
      this.points = [...new Set(this.series.flatMap((one) => one.x))].sort((a, b) => a - b);
      this.cursor = null;
      this.members = spec.group ? groups.get(spec.group) || [] : [];
      if (spec.group) groups.set(spec.group, this.members);
      this.members.push(this);
      this.build();
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
        button.addEventListener("click", () => this.hide(one));
        this.entries.set(one, button);
      }
    }

    /** Take a series out of the chart, or put it back; what is drawn as one area belongs together. */
    hide(one) {
      if (!one || one.shape === "stack") return;
      one.hidden = !one.hidden;
      for (const other of this.series) if (other.shape === "band" && other.role === one.role) other.hidden = one.hidden;
      const button = this.entries.get(one);
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

    // -- drawing

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
    }

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
          names.push([from + 6, at - 5, mark]);
        }
      }
      return names;
    }

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
    }

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
    }

    /** Return how long the last value of a series of steps holds. */
    width(series) {
      const n = series.x.length;
      return n > 1 ? series.x[n - 1] - series.x[n - 2] : 1;
    }

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
    }

    named() {
      return this.series.filter((one) => !one.quiet && !(one.shape === "band" && this.series.some((o) => o !== one && o.role === one.role)));
    }

    labelWidth() {
      if (!this.labelled) {
        const pen = document.createElement("canvas").getContext("2d");
        pen.font = `600 12.5px ${getComputedStyle(document.body).fontFamily}`;
        this.labelled = 20 + Math.max(0, ...this.named().map((one) => pen.measureText(one.label).width));
      }
      return this.labelled;
    }

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
    }

    // -- pointing

    point(at) {
      this.cursor = at;
      const { hover, geometry, spec } = this;
      if (!geometry || !hover) return;
      hover.replaceChildren();
      this.readout.hidden = true;
      if (at === null || at < geometry.domain[0] || at > geometry.domain[1]) return;
      const { box, x, y } = geometry;
      const px = x(at);
      svg("path", { d: `M${px},${box.top - 4}V${box.bottom}`, class: "crosshair" }, hover);
      const rows = [];
      const tolerance = this.members.length > 1 ? 2 * this.width(this.series[0]) + 1 : Infinity;
      for (const one of this.shown()) {
        const stepped = one.shape === "step" || one.shape === "stack";
        const i = stepped ? before(one.x, at) : nearest(one.x, at);
        if (one.y[i] === null || one.y[i] === undefined) continue;
        if (!isLog(spec.x.scale) && Math.abs(one.x[i] - at) > tolerance && one.x.length > 2) continue;
        const shown = one.own ? one.own[i] : one.y[i];
        if (!(one.shape === "band" && this.series.some((o) => o !== one && o.role === one.role))) {
          const write = WRITE[spec.y.unit];
          const text = one.shape === "band" ? `${write(one.low[i])} – ${write(shown)}` : write(shown);
          rows.push([one, text]);
        }
        if (isLog(this.yScale) && one.y[i] <= 0) continue;
        if (one.shape !== "band") svg("circle", { cx: stepped ? px : x(one.x[i]), cy: y(one.y[i]), r: 3.5, class: `spot r-${one.role}` }, hover);
      }
      this.tell(at, px, rows);
    }

    tell(at, px, rows) {
      const { readout, geometry, spec } = this;
      readout.replaceChildren();
      const name = WRITE[spec.x.unit](at);
      html("p", "at", readout, spec.x.unit === "clock" ? `at ${name}${timeOfDay(at)}` : name);
      const list = html("dl", "", readout);
      for (const [one, text] of rows) {
        const row = html("div", `r-${one.role}`, list);
        html("dt", "", row, one.label);
        html("dd", "", row, text);
      }
      readout.hidden = false;
      const scale = this.plot.clientWidth / geometry.width;
      const wide = readout.offsetWidth;
      const right = px * scale + 14;
      const fits = right + wide < this.plot.clientWidth;
      readout.style.left = `${Math.max(0, fits ? right : px * scale - wide - 14)}px`;
      readout.style.top = `${this.canvas.getBoundingClientRect().top - this.plot.getBoundingClientRect().top + geometry.box.top}px`;
    }

    speak() {
      const rows = [...this.readout.querySelectorAll("dl > div")].map(
        (row) => `${row.children[0].textContent} ${row.children[1].textContent}`,
      );
      const at = this.readout.querySelector(".at");
      this.live.textContent = at ? `${at.textContent}: ${rows.join(", ")}` : "";
    }

    pointAll(at) {
      for (const one of this.members) one.point(at);
    }

    step(by) {
      const [low, high] = this.domain();
      const shown = this.points.filter((at) => at >= low && at <= high);
      if (!shown.length) return;
      const here = this.cursor === null ? (by > 0 ? -1 : shown.length) : nearest(shown, this.cursor);
      const next = Math.min(Math.max(here + by, 0), shown.length - 1);
      this.pointAll(shown[next]);
      this.speak();
    }

    listen() {
      const { plot } = this;
      const share = (event) => {
        const { box, width, domain } = this.geometry;
        const bounds = this.canvas.getBoundingClientRect();
        const px = ((event.clientX - bounds.left) / bounds.width) * width;
        const part = Math.min(Math.max((px - box.left) / (box.right - box.left), 0), 1);
        return { part, at: value(domain, isLog(this.spec.x.scale), part) };
      };
      let from = null;
      const snapped = (at) => this.points[nearest(this.points, at)];
      plot.addEventListener("pointermove", (event) => {
        if (!this.geometry) return;
        const here = share(event);
        if (from === null) {
          this.pointAll(snapped(here.at));
          return;
        }
        const { box } = this.geometry;
        const a = box.left + Math.min(from.part, here.part) * (box.right - box.left);
        const b = box.left + Math.max(from.part, here.part) * (box.right - box.left);
        this.drag.setAttribute("x", a);
        this.drag.setAttribute("width", b - a);
      });
      this.canvas.addEventListener("pointerdown", (event) => {
        if (event.pointerType !== "mouse" || event.button !== 0 || event.target.closest(".switch")) return;
        from = share(event);
        this.canvas.setPointerCapture(event.pointerId);
      });
      this.canvas.addEventListener("pointerup", (event) => {
        if (from === null) return;
        const here = share(event);
        const { box } = this.geometry;
        const far = Math.abs(here.part - from.part) * (box.right - box.left) > MIN_DRAG;
        const ends = [from.at, here.at].sort((a, b) => a - b);
        from = null;
        this.drag.setAttribute("width", 0);
        if (far) this.show(ends);
      });
      this.canvas.addEventListener("pointercancel", () => {
        from = null;
        this.drag.setAttribute("width", 0);
      });
      this.canvas.addEventListener("dblclick", () => this.show(null));
      plot.addEventListener("pointerleave", () => { if (from === null) this.pointAll(null); });
      plot.addEventListener("blur", () => this.pointAll(null));
      plot.addEventListener("keydown", (event) => {
        if (event.ctrlKey || event.metaKey || event.altKey) return;
        const far = Math.max(1, Math.round(this.points.length / 20));
        const actions = {
          ArrowRight: () => this.step(1),
          ArrowLeft: () => this.step(-1),
          PageDown: () => this.step(far),
          PageUp: () => this.step(-far),
          Home: () => this.step(-this.points.length),
          End: () => this.step(this.points.length),
          "+": () => this.zoom(0.5),
          "=": () => this.zoom(0.5),
          "-": () => this.zoom(2),
          0: () => this.show(null),
          Escape: () => { this.show(null); this.pointAll(null); },
          l: () => this.toggle && this.switchScale(),
          L: () => this.toggle && this.switchScale(),
        };
        const place = "123456789".indexOf(event.key);
        const action = place < 0 ? actions[event.key] : () => this.hide(this.named()[place]);
        if (!action) return;
        event.preventDefault();
        action();
      });
      new ResizeObserver(() => { if (!this.paper) this.draw(); }).observe(plot);
    }
  }

  /** Hatchings, so that areas are told apart without colour. */
  function hatchings() {
    const holder = svg("svg", { width: 0, height: 0, "aria-hidden": "true", class: "hatchings" });
    const defs = svg("defs", {}, holder);
    const patterns = {
      rejected: "M0,8L8,0M-2,2L2,-2M6,10L10,6",
      indeterminate: "M2,2h2v2h-2ZM6,6h2v2h-2Z",
      skipped: "M0,0L8,8M8,0L0,8",
      acknowledged: "",
    };
    for (const [role, path] of Object.entries(patterns)) {
      const pattern = svg("pattern", { id: `hatch-${role}`, width: 8, height: 8, patternUnits: "userSpaceOnUse" }, defs);
      svg("path", { d: path, class: "hatching" }, pattern);
    }
    document.body.append(holder);
  }

  /** Let the keyboard reach tables that are wider than the window, and only those. */
  function scrollable() {
    for (const box of document.querySelectorAll(".scroll")) {
      if (box.scrollWidth > box.clientWidth) {
        box.tabIndex = 0;
        box.setAttribute("role", "group");
        box.setAttribute("aria-label", "Table, scrolls sideways");
      } else {
        box.removeAttribute("tabindex");
      }
    }
  }

  hatchings();
  scrollable();
  window.addEventListener("resize", scrollable);
  document.addEventListener("toggle", scrollable, true);
  for (const spec of data.charts) {
    charts.push(new Chart(spec, document.getElementById(`chart-${spec.name}`)));
  }
  for (const chart of charts) chart.draw();

  // paper has a width of its own; what is zoomed or pointed at stays on the screen
  let folded = [];
  window.addEventListener("beforeprint", () => {
    folded = [...document.querySelectorAll("details.code:not([open])")];
    for (const one of folded) one.open = true;
    for (const chart of charts) {
      chart.paper = 720;
      chart.draw();
    }
  });
  window.addEventListener("afterprint", () => {
    for (const one of folded) one.open = false;
    for (const chart of charts) {
      chart.paper = 0;
      chart.draw();
    }
  });
  document.documentElement.classList.add("drawn");
})();
