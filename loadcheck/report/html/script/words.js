// How values are written; the same as in loadcheck/report/words.py.

const data = JSON.parse(document.getElementById("data").textContent);
let began = data.began_at ? Date.parse(data.began_at) : NaN;

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
  const digits = Math.max(0, Math.ceil(Math.log10(x) - 1e-9) - 1);
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
