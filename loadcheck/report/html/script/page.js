// Draws the charts of the page, and once more for paper.

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

function drawAll(specs) {
  charts.length = 0;
  groups.clear();
  for (const spec of specs) charts.push(new Chart(spec, document.getElementById(`chart-${spec.name}`)));
  for (const chart of charts) chart.draw();
}

drawAll(data.charts);

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
