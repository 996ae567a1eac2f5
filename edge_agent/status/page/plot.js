// Today's band and the measured power as one SVG. Knows nothing of where the data comes from.
"use strict";

const SVG = "http://www.w3.org/2000/svg";
const HOUR = 3600e3;

function shape(name, attributes, parent) {
  const node = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  if (parent) parent.append(node);
  return node;
}

function formatKw(watts) {
  if (watts === null || watts === undefined) return "–";
  const kw = watts / 1000;
  const digits = Math.abs(kw) >= 100 ? 0 : Math.abs(kw) >= 10 ? 1 : 2;
  return `${kw.toFixed(digits)} kW`;
}

function formatClock(ms) {
  return new Date(ms).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" });
}

// A rounded step that gives about `count` lines up to `top`.
function tickStep(top, count) {
  const rough = top / count;
  const power = 10 ** Math.floor(Math.log10(rough));
  return power * [1, 2, 5, 10].find((factor) => factor * power >= rough);
}

// Neighbouring steps in which `known` holds, as runs: a gap is a gap in the line.
function runs(steps, known) {
  const found = [];
  let run = [];
  for (const step of steps) {
    if (known(step)) run.push(step);
    else if (run.length) { found.push(run); run = []; }
  }
  if (run.length) found.push(run);
  return found;
}

// day: {from, to, now, stepMs, steps: [{start, measured, low, q25, median, q75, high}]}, watts
function drawPlot(holder, readout, day) {
  const width = Math.max(holder.clientWidth, 280);
  const height = Math.round(Math.min(320, Math.max(200, width * 0.36)));
  const edge = { left: 44, right: 10, top: 16, bottom: 22 };
  const inner = width - edge.left - edge.right;
  const x = (ms) => +(edge.left + (ms - day.from) / (day.to - day.from) * inner).toFixed(1);
  const middle = (step) => x(step.start + day.stepMs / 2);
  const all = day.steps.flatMap((s) => [s.high, s.measured]).filter((w) => w !== null);
  const top = Math.max(...all, 0) * 1.08 || 1000;
  const lowest = Math.min(...day.steps.flatMap((s) => [s.low, s.measured]).filter((w) => w !== null), 0);
  const y = (w) => +(height - edge.bottom - (w - lowest) / (top - lowest) * (height - edge.top - edge.bottom)).toFixed(1);

  const svg = shape("svg", { viewBox: `0 0 ${width} ${height}`, role: "img" });
  svg.setAttribute("aria-label", describe(day));
  const step = tickStep((top - lowest) / 1000, 4) * 1000;
  for (let w = Math.ceil(lowest / step) * step; w <= top; w += step) {
    shape("line", { class: "grid", x1: edge.left, x2: width - edge.right, y1: y(w), y2: y(w) }, svg);
    shape("text", { x: edge.left - 6, y: y(w) + 4, "text-anchor": "end" }, svg).textContent = +(w / 1000).toFixed(3);
  }
  shape("text", { x: 2, y: 10 }, svg).textContent = "kW";
  const every = width < 480 ? 6 : 3;
  const mark = new Date(day.from);
  for (let hour = 0; hour <= 24; hour += every) { // by calendar: a day may have 23 or 25 hours
    mark.setHours(hour);
    const ms = Math.min(mark.getTime(), day.to);
    shape("line", { class: "grid", x1: x(ms), x2: x(ms), y1: height - edge.bottom, y2: height - edge.bottom + 4 }, svg);
    const anchor = hour === 0 ? "start" : hour === 24 ? "end" : "middle";
    shape("text", { x: x(ms), y: height - 5, "text-anchor": anchor }, svg).textContent = `${String(hour).padStart(2, "0")}:00`;
    mark.setTime(day.from);
  }
  const line = (run, key) => "M" + run.map((s) => `${middle(s)},${y(s[key])}`).join("L");
  const area = (run, lower, upper) => line(run, upper) + "L" + line([...run].reverse(), lower).slice(1) + "Z";
  for (const run of runs(day.steps, (s) => s.median !== null)) {
    shape("path", { class: "outer", d: area(run, "low", "high") }, svg);
    shape("path", { class: "inner", d: area(run, "q25", "q75") }, svg);
    shape("path", { class: "median", d: line(run, "median") }, svg);
  }
  shape("line", { class: "now", x1: x(day.now), x2: x(day.now), y1: edge.top, y2: height - edge.bottom }, svg);
  for (const run of runs(day.steps, (s) => s.measured !== null)) {
    if (run.length > 1) shape("path", { class: "actual", d: line(run, "measured") }, svg);
    else shape("circle", { class: "actual-dot", r: 3, cx: middle(run[0]), cy: y(run[0].measured) }, svg);
  }
  addCursor(svg, readout, day, x, edge, width, height);
  holder.replaceChildren(svg);
}

function addCursor(svg, readout, day, x, edge, width, height) {
  const cursor = shape("line", { class: "cursor", y1: edge.top, y2: height - edge.bottom, visibility: "hidden" }, svg);
  svg.addEventListener("pointermove", (event) => {
    const box = svg.getBoundingClientRect();
    const share = ((event.clientX - box.left) / box.width * width - edge.left) / (width - edge.left - edge.right);
    const ms = day.from + share * (day.to - day.from);
    const step = day.steps.find((s) => s.start <= ms && ms < s.start + day.stepMs);
    if (!step) return;
    cursor.setAttribute("x1", x(step.start + day.stepMs / 2));
    cursor.setAttribute("x2", x(step.start + day.stepMs / 2));
    cursor.setAttribute("visibility", "visible");
    readout.textContent = tell(step);
  });
}

function tell(step) {
  const parts = [formatClock(step.start)];
  if (step.measured !== null) parts.push(`measured ${formatKw(step.measured)}`);
  if (step.median !== null) {
    parts.push(`forecast ${formatKw(step.median)} (${formatKw(step.low)} to ${formatKw(step.high)})`);
  }
  return parts.join("  ·  ");
}

// The plot in words, for those who do not see it.
function describe(day) {
  const measured = day.steps.filter((s) => s.measured !== null);
  const ahead = day.steps.filter((s) => s.median !== null && s.start + day.stepMs > day.now);
  const parts = ["Power of the site today."];
  if (measured.length) parts.push(`Measured last: ${tell({ ...measured[measured.length - 1], median: null })}.`);
  if (ahead.length) {
    const best = ahead.reduce((a, b) => (b.median > a.median ? b : a));
    parts.push(`Highest still expected: ${tell({ ...best, measured: null })}.`);
  }
  return parts.join(" ");
}
