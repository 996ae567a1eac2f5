// The forecast band and the measured power as one SVG. Knows nothing of where the data comes from.
"use strict";

const SVG = "http://www.w3.org/2000/svg";
const HOUR = 3600e3;
const DAY = 24 * HOUR;

function shape(name, attributes, parent) {
  const node = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  if (parent) parent.append(node);
  return node;
}

function formatKw(kw) {
  if (kw === null || kw === undefined) return "–";
  const digits = Math.abs(kw) >= 100 ? 0 : Math.abs(kw) >= 10 ? 1 : 2;
  return kw.toFixed(digits) + " kW";
}

function formatTime(ms) {
  return new Date(ms).toISOString().slice(5, 16).replace("T", " ");
}

// A rounded step that gives about `count` lines up to `top`.
function tickStep(top, count) {
  const rough = top / count;
  const power = 10 ** Math.floor(Math.log10(rough));
  return power * [1, 2, 5, 10].find((factor) => factor * power >= rough);
}

// Steps of a forecast as [{start, end, low, q25, median, q75, high}].
function forecastSteps(forecast) {
  const first = Date.parse(forecast.start);
  const length = forecast.step_minutes * 60e3;
  const q = forecast.quantiles;
  return q["0.5"].map((median, k) => ({
    start: first + k * length, end: first + (k + 1) * length, median,
    low: q["0.05"][k], q25: q["0.25"][k], q75: q["0.75"][k], high: q["0.95"][k],
  }));
}

function drawBand(svg, steps, x, y, className) {
  if (!steps.length) return;
  const group = shape("g", { class: className }, svg);
  const middle = (step) => x((step.start + step.end) / 2);
  const area = (lower, upper) => "M" + steps.map((s) => `${middle(s)},${y(s[upper])}`).join("L") +
    "L" + [...steps].reverse().map((s) => `${middle(s)},${y(s[lower])}`).join("L") + "Z";
  shape("path", { class: "outer", d: area("low", "high") }, group);
  shape("path", { class: "inner", d: area("q25", "q75") }, group);
  shape("path", { class: "median", d: "M" + steps.map((s) => `${middle(s)},${y(s.median)}`).join("L") }, group);
}

// Measured means, broken where an interval is missing; a lone point is a dot.
function drawActual(svg, points, stepMs, x, y) {
  let run = [];
  const finish = () => {
    const corners = run.map((p) => `${x(p.start + stepMs / 2)},${y(p.kw)}`);
    if (run.length > 1) shape("path", { class: "actual", d: "M" + corners.join("L") }, svg);
    if (run.length === 1) {
      shape("circle", { class: "actual-dot", r: 3, cx: x(run[0].start + stepMs / 2), cy: y(run[0].kw) }, svg);
    }
    run = [];
  };
  for (const point of points) {
    if (run.length && point.start - run[run.length - 1].start > stepMs * 1.5) finish();
    run.push(point);
  }
  finish();
}

// data: {from, to, now, before: steps, ahead: steps, actual: [{start, kw}], stepMs, capacity}
function drawPlot(holder, readout, data) {
  const width = Math.max(holder.clientWidth, 280);
  const height = Math.round(Math.min(340, Math.max(210, width * 0.36)));
  const edge = { left: 44, right: 10, top: 12, bottom: 36 };
  const x = (ms) => +(edge.left + (ms - data.from) / (data.to - data.from) * (width - edge.left - edge.right)).toFixed(1);
  const steps = [...data.before, ...data.ahead].filter((s) => s.end > data.from && s.start < data.to);
  const highest = Math.max(0, ...steps.map((s) => s.high), ...data.actual.map((p) => p.kw)) * 1.08;
  const top = highest || data.capacity || 1;
  const y = (kw) => +(height - edge.bottom - kw / top * (height - edge.top - edge.bottom)).toFixed(1);

  const svg = shape("svg", { viewBox: `0 0 ${width} ${height}`, role: "img" });
  svg.setAttribute("aria-label", `Measured power and forecast from ${formatTime(data.from)} to ${formatTime(data.to)} UTC`);
  const step = tickStep(top, 4);
  for (let k = 0; k * step <= top; k += 1) {
    const kw = k * step;
    shape("line", { class: "grid", x1: edge.left, x2: width - edge.right, y1: y(kw), y2: y(kw) }, svg);
    shape("text", { x: edge.left - 6, y: y(kw) + 4, "text-anchor": "end" }, svg).textContent = +kw.toFixed(3);
  }
  shape("text", { x: 2, y: 10 }, svg).textContent = "kW";
  const every = width < 480 ? 12 * HOUR : 6 * HOUR;
  for (let ms = Math.ceil(data.from / every) * every; ms <= data.to; ms += every) {
    const midnight = ms % DAY === 0;
    shape("line", { class: "grid", x1: x(ms), x2: x(ms), y1: midnight ? edge.top : height - edge.bottom, y2: height - edge.bottom + 4 }, svg);
    if (x(ms) < width - 24) {
      shape("text", { x: x(ms), y: height - 20, "text-anchor": "middle" }, svg).textContent =
        new Date(ms).toISOString().slice(11, 16);
      if (midnight) {
        shape("text", { class: "day", x: x(ms), y: height - 5, "text-anchor": "middle" }, svg).textContent =
          new Date(ms).toISOString().slice(5, 10);
      }
    }
  }
  const cut = data.ahead.length ? data.ahead[0].start : data.to;
  drawBand(svg, data.before.filter((s) => s.start >= data.from && s.end <= cut), x, y, "before");
  drawBand(svg, data.ahead.filter((s) => s.start >= data.from && s.end <= data.to), x, y, "ahead");
  if (data.now > data.from && data.now < data.to) {
    shape("line", { class: "now", x1: x(data.now), x2: x(data.now), y1: edge.top, y2: height - edge.bottom }, svg);
  }
  drawActual(svg, data.actual.filter((p) => p.start >= data.from && p.start < data.to), data.stepMs, x, y);

  const cursor = shape("line", { class: "cursor", y1: edge.top, y2: height - edge.bottom, visibility: "hidden" }, svg);
  svg.addEventListener("pointermove", (event) => {
    const box = svg.getBoundingClientRect();
    const share = ((event.clientX - box.left) / box.width * width - edge.left) / (width - edge.left - edge.right);
    if (share < 0 || share > 1) return;
    const ms = data.from + share * (data.to - data.from);
    const expected = data.ahead.find((s) => s.start <= ms && ms < s.end) ||
      data.before.find((s) => s.start <= ms && ms < s.end);
    const measured = data.actual.find((p) => p.start <= ms && ms < p.start + data.stepMs);
    cursor.setAttribute("x1", x(ms));
    cursor.setAttribute("x2", x(ms));
    cursor.setAttribute("visibility", "visible");
    const parts = [formatTime(Math.floor(ms / data.stepMs) * data.stepMs)];
    if (measured) parts.push("measured " + formatKw(measured.kw));
    if (expected) parts.push(`forecast ${formatKw(expected.median)} (${formatKw(expected.low)} to ${formatKw(expected.high)})`);
    readout.textContent = parts.join("  ·  ");
  });
  holder.replaceChildren(svg);
}
