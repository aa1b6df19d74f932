// Where values lie along an axis, and which of them are named.

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
