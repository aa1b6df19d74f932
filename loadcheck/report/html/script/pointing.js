// What a pointer and the keyboard do in a chart.

const MIN_DRAG = 6;

Object.assign(Chart.prototype, {
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
  },

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
  },

  speak() {
    const rows = [...this.readout.querySelectorAll("dl > div")].map(
      (row) => `${row.children[0].textContent} ${row.children[1].textContent}`,
    );
    const at = this.readout.querySelector(".at");
    this.live.textContent = at ? `${at.textContent}: ${rows.join(", ")}` : "";
  },

  pointAll(at) {
    for (const one of this.members) one.point(at);
  },

  step(by) {
    const [low, high] = this.domain();
    const shown = this.points.filter((at) => at >= low && at <= high);
    if (!shown.length) return;
    const here = this.cursor === null ? (by > 0 ? -1 : shown.length) : nearest(shown, this.cursor);
    const next = Math.min(Math.max(here + by, 0), shown.length - 1);
    this.pointAll(shown[next]);
    this.speak();
  },

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
  },
});
