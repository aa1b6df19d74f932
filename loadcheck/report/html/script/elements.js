// What a page is made of.

const SVG = "http://www.w3.org/2000/svg";

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
