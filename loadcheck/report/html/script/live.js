// Keeps the page of a run that goes on up to date: each message is all that can have changed.

const token = new URLSearchParams(location.search).get("token") || "";
const bar = document.querySelector(".live");
const state = document.getElementById("state");
const stop = document.getElementById("stop");
const stopper = stop.querySelector("button");
const QUIET_MS = 5000;
const SURE_MS = 5000;

let shown = data.number;
let heard = Date.now();
let waiting = null;
let sure = 0;

/** Tell what the page consists of: if that changes, it is built anew. */
function outline(specs, root) {
  const sections = [...root.querySelectorAll("section, [data-live]")].map((one) => one.id || one.dataset.live);
  return JSON.stringify([sections, specs.map((spec) => [spec.name, spec.series.map((one) => one.label), Boolean(spec.heat)])]);
}

let built = outline(data.charts, document);

function tell(text, away) {
  if (sure) return;
  if (state.textContent !== text) state.textContent = text;
  bar.classList.toggle("away", away);
}

function apply(news) {
  shown = news.number;
  began = news.began_at ? Date.parse(news.began_at) : NaN;
  document.title = news.title;
  const next = new DOMParser().parseFromString(news.html, "text/html");
  const header = document.querySelector("header");
  if (header.className !== news.verdict) header.className = news.verdict;
  const outlined = outline(news.charts, next);
  // what is in the bar above is no part of the outline
  if (outlined !== built) {
    built = outlined;
    document.querySelector("header").replaceWith(next.querySelector("header"));
    document.querySelector("main").replaceWith(next.querySelector("main"));
    drawAll(news.charts);
    watch();
    scrollable();
    return;
  }
  for (const part of next.querySelectorAll("[data-live]")) {
    const here = document.querySelector(`[data-live="${part.dataset.live}"]`);
    if (here.innerHTML !== part.innerHTML) here.replaceChildren(...part.childNodes);
  }
  news.charts.forEach((spec, i) => {
    charts[i].take(spec);
    charts[i].stale = true;
  });
  for (const chart of charts) if (chart.near) refresh(chart);
  for (const chart of charts) if (chart.figure.querySelector("details").open) list(chart);
}

function refresh(chart) {
  chart.stale = false;
  chart.draw();
}

/** Draw only what can be seen. */
const seen = new IntersectionObserver(
  (entries) => {
    for (const entry of entries) {
      const chart = charts.find((one) => one.figure === entry.target);
      if (!chart) continue;
      chart.near = entry.isIntersecting;
      if (chart.near && chart.stale) refresh(chart);
    }
  },
  { rootMargin: "100px" },
);

function watch() {
  seen.disconnect();
  for (const chart of charts) {
    seen.observe(chart.figure);
    chart.figure.querySelector("details").addEventListener("toggle", () => list(chart));
  }
}

/** Write the values of a chart into its table, the latest first. */
function list(chart) {
  const details = chart.figure.querySelector("details");
  if (!details.open) return;
  const { spec } = chart;
  const lines = chart.series.filter((one) => one.shape !== "band");
  const box = html("div", "scroll");
  const table = html("table", "numeric", box);
  const head = html("tr", "", html("thead", "", table));
  for (const name of ["at", ...lines.map((one) => one.label)]) html("th", "", head, name).scope = "col";
  const body = html("tbody", "", table);
  for (const at of chart.points.slice(-60).reverse()) {
    const row = html("tr", "", body);
    html("th", "", row, WRITE[spec.x.unit](at)).scope = "row";
    for (const one of lines) {
      const i = one.x.indexOf(at);
      const value = i < 0 ? null : (one.own || one.y)[i];
      html("td", "", row, value === null || value === undefined ? "–" : WRITE[spec.y.unit](value));
    }
  }
  const before = details.querySelector(".scroll");
  if (before) before.replaceWith(box);
  else details.append(box);
  scrollable();
}

function listen() {
  const source = new EventSource(`events?token=${encodeURIComponent(token)}`);
  source.addEventListener("state", (event) => {
    heard = Date.now();
    tell("Live: brought up to date each second.", false);
    waiting = event.data;
    // a page that nobody sees is brought up to date when somebody does
    if (!document.hidden) catchUp();
  });
  source.addEventListener("done", () => {
    source.close();
    location.reload();
  });
  source.addEventListener("error", () => tell("The run does not answer; trying again.", true));
}

function catchUp() {
  if (waiting === null) return;
  const news = JSON.parse(waiting);
  waiting = null;
  if (news.number !== shown) apply(news);
}

document.addEventListener("visibilitychange", catchUp);
setInterval(() => {
  const quiet = Date.now() - heard;
  if (quiet > QUIET_MS) tell(`Nothing was heard of the run for ${Math.round(quiet / 1000)} s.`, true);
  if (sure && Date.now() > sure) calm();
}, 1000);

function calm() {
  sure = 0;
  stopper.classList.remove("sure");
  stopper.textContent = "Stop the load";
}

stop.addEventListener("submit", async (event) => {
  event.preventDefault();
  if (!sure) {
    tell("Press again to stop the load; what was sent is still asked for.", false);
    sure = Date.now() + SURE_MS;
    stopper.classList.add("sure");
    stopper.textContent = "Really stop?";
    return;
  }
  sure = 0;
  stopper.classList.remove("sure");
  stopper.disabled = true;
  let said = "could not be asked to stop";
  try {
    const answer = await fetch(`stop?token=${encodeURIComponent(token)}`, { method: "POST" });
    if (answer.ok) said = "Stopping";
  } catch (error) {
    said = "The run does not answer";
  }
  stopper.textContent = said;
  setTimeout(() => {
    stopper.disabled = false;
    stopper.textContent = "Stop the load";
  }, SURE_MS);
});

watch();
listen();
