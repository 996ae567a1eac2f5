// Asks the agent every few seconds and shows the site. Says so when the agent does not answer.
"use strict";

const STATUS_EVERY_MS = 3000;
const TODAY_EVERY_MS = 15000;
const WITHIN_MS = 5000;
const STALE_MS = 15000;
const $ = (id) => document.getElementById(id);

let status = null;
let receivedAt = 0;
let trouble = "";
let day = null;

function element(name, content, className) {
  const node = document.createElement(name);
  if (className) node.className = className;
  node.append(...[content].flat().filter((part) => part !== null && part !== undefined && part !== ""));
  return node;
}

async function ask(path) {
  const answer = await fetch(path, { signal: AbortSignal.timeout(WITHIN_MS) });
  if (!answer.ok) throw new Error(`${path} gives ${answer.status}`);
  return answer.json();
}

// ---- words and numbers

function spoken(seconds) {
  const s = Math.max(0, seconds);
  if (s < 90) return `${Math.round(s)} s`;
  if (s < 5400) return `${Math.round(s / 60)} min`;
  if (s < 172800) return `${Math.round(s / 3600)} h`;
  return `${Math.round(s / 86400)} days`;
}

// Ages by the agent's clock, not by the browser's: one of them may be wrong.
function ageSeconds(iso) {
  return (Date.parse(status.status.timestamp) - Date.parse(iso)) / 1000 + (Date.now() - receivedAt) / 1000;
}

function formatDay(iso) {
  return new Date(iso).toLocaleString([], { month: "short", day: "numeric", hour: "2-digit", minute: "2-digit" });
}

const RIM = {
  W: ["kW", 1e-3], Wh: ["kWh", 1e-3], var: ["kvar", 1e-3], VA: ["kVA", 1e-3],
  Pa: ["hPa", 1e-2], degC: ["°C", 1], deg: ["°", 1], "W/m2": ["W/m²", 1], 1: ["", 1],
};

function formatValue(value, unit) {
  if (value === undefined || value === null) return "–";
  const [shown, factor] = RIM[unit] || [unit, 1];
  const number = value * factor;
  const digits = factor !== 1 && Math.abs(number) < 100 ? 2 : Math.abs(number) >= 1000 ? 0 : 1;
  const whole = unit === "1" && Number.isInteger(number) ? 0 : unit === "1" || unit === "Hz" ? 2 : digits;
  const text = number.toLocaleString("en", { minimumFractionDigits: whole, maximumFractionDigits: whole });
  return `${text.replaceAll(",", "\u202f")}${shown ? `\u202f${shown}` : ""}`;
}

const STATES = {
  well: ["good", "✓ well"], unknown: ["quiet", "… not heard yet"], failing: ["warn", "! failing"],
  dead: ["bad", "✗ silent"], asleep: ["quiet", "☾ asleep"], overslept: ["bad", "✗ asleep by day"],
};
const QUALITIES = {
  suspect: "? suspect", missing: "not received", asleep: "asleep", curtailed: "held down",
  clipped: "at its limit",
};
const REASONS = {
  asleep: "asleep", dead: "silent", bad: "not to be believed", busy: "line busy", clock: "clock",
  refused: "no room", dropped: "deleted for want of room", off: "agent off",
};

// ---- parts of the page

function showNow() {
  const site = status.site;
  const tiles = [[formatKw(site.ac_power), site.lacking ? `generation: no value from ${site.lacking}` : "generation now"]];
  if (site.grid_power !== null) {
    tiles.push([formatKw(Math.abs(site.grid_power)), site.grid_power < 0 ? "given to the grid" : "taken from the grid"]);
  }
  const alerts = status.alerts.filter((alert) => alert.active).length;
  tiles.push([String(alerts), alerts === 1 ? "alert" : "alerts"]);
  tiles.push([status.connected ? "connected" : "offline", status.connected ? "to the centre's broker" : "readings are kept here"]);
  $("now").replaceChildren(...tiles.map(([value, label]) => element("div", [element("b", value), element("span", label)])));
}

function readings(record) {
  const quality = record.quality || {};
  const names = Object.keys(status.quantities).filter((name) => name in record || name in quality);
  return names.map((name) => {
    const { unit, meaning } = status.quantities[name];
    const head = element("th", name.replaceAll("_", " "));
    head.scope = "row";
    head.title = meaning;
    const flaw = quality[name];
    const note = flaw ? element("div", QUALITIES[flaw] || flaw, `flaw ${flaw === "suspect" || flaw === "missing" ? "warn" : "quiet"}`) : null;
    return element("tr", [head, element("td", [formatValue(record[name], unit), note], "number")]);
  });
}

function device(name) {
  const record = status.records.find((one) => one.device === name);
  const known = (status.devices || {})[name];
  const [style, word] = (known && STATES[known.state]) || ["quiet", known ? known.state : ""];
  const box = element("section", element("div", [element("h3", name), element("span", word, `state ${style}`)], "title"));
  box.dataset.device = name;
  const role = status.roles[name];
  const parts = role ? [role] : [];
  if (record) {
    const age = ageSeconds(record.timestamp);
    const days = (status.status.ledger || []).filter((row) => row.device === name);
    const expected = days.length ? Math.max(60, 3 * days[days.length - 1].poll_ms / 1000) : 1200;
    parts.push(age > expected ? `OLD: read ${spoken(age)} ago` : `read ${spoken(age)} ago`);
    if (record.clock === "untrusted") parts.push("time not sure");
  } else parts.push("nothing read yet");
  box.append(element("p", parts.join(" · "), "faint age"));
  if (known && known.last_error) box.append(element("p", known.last_error, "error"));
  if (record) box.append(element("table", element("tbody", readings(record))));
  return box;
}

function showDevices() {
  const names = [...new Set([...Object.keys(status.roles), ...Object.keys(status.devices || {}), ...status.records.map((one) => one.device)])];
  $("devices").replaceChildren(...names.map(device));
  $("no-devices").hidden = status.records.length > 0;
}

function showAlerts() {
  $("alerts-panel").hidden = status.alerts.length === 0;
  $("alerts").replaceChildren(...status.alerts.map((alert) => {
    const style = !alert.active ? "quiet" : alert.severity === "alarm" ? "bad" : alert.severity === "warning" ? "warn" : "quiet";
    const word = alert.active ? alert.severity : "over";
    return element("li", [element("span", word, `state ${style}`), ` ${alert.device}: ${alert.text} `,
      element("small", `${alert.code}, ${formatDay(alert.timestamp)}`)]);
  }));
}

function showComplete() {
  const rows = status.ledger || status.status.ledger || [];
  const newest = rows.reduce((latest, row) => (row.day > latest ? row.day : latest), "");
  const today = rows.filter((row) => row.day === newest);
  $("complete-panel").hidden = today.length === 0;
  $("complete-note").textContent = `UTC day ${newest} so far. Share: of the readings due while the device was awake.`;
  document.querySelector("#complete tbody").replaceChildren(...today.map((row) => {
    const awake = row.expected - (row.lost.asleep || 0);
    const share = awake ? `${(Math.floor(row.have * 1000 / awake) / 10).toFixed(1)} %` : "–";
    const why = Object.entries(row.lost).map(([reason, turns]) => `${turns} ${REASONS[reason] || reason}`);
    if (row.thinned) why.push(`${row.thinned} kept in means only`);
    const head = element("th", row.device);
    head.scope = "row";
    return element("tr", [head, element("td", `${row.have} of ${row.expected}`, "number"),
      element("td", share, "number"), element("td", why.join(", ") || "nothing")]);
  }));
}

function showBox() {
  const { status: told, clock, forecast } = status;
  const bundle = told.bundle;
  const facts = [];
  const pending = told.counters.journal_pending;
  const heard = status.last_ack_s === null || status.last_ack_s === undefined ? "not heard since the start"
    : `acknowledged ${spoken(status.last_ack_s + (Date.now() - receivedAt) / 1000)} ago`;
  facts.push(["Centre", `${status.connected ? "connected" : "not connected"}, ${heard}`]);
  if (pending !== undefined) facts.push(["On their way to the centre", `${pending} entries`]);
  if (clock) {
    const offset = clock.offset !== undefined && clock.offset !== null ? ` (off by ${clock.offset})` : "";
    const held = clock.held ? `; ${clock.held} entries wait for their true time` : "";
    facts.push(["Clock", element("span", `${clock.trusted ? "trusted" : "NOT trusted"}: ${clock.reason}${offset}${held}`, clock.trusted ? "" : "bad")]);
  }
  facts.push(["Model bundle", bundle.active ? `${bundle.active} (release ${bundle.release}, ${bundle.state})` : "none: forecasting by smart persistence"]);
  if (bundle.refused) facts.push(["Refused bundle", element("span", `${bundle.refused}: ${bundle.reason || "no reason given"}`, "bad")]);
  if (forecast) {
    facts.push(["Forecast", `issued ${spoken(ageSeconds(forecast.issued_at))} ago`]);
    const interval = forecast.series.ac_power && forecast.series.ac_power.interval;
    if (interval) {
      facts.push(["The wide band has held", interval.observed === null ? "not measured yet"
        : `${Math.round(interval.observed * 100)} % of ${interval.count} outcomes (meant: ${Math.round(interval.nominal * 100)} %)`]);
    }
  } else facts.push(["Forecast", "none yet: the first comes at the next quarter of an hour"]);
  facts.push(["Agent", `${told.agent}, solar-edge ${told.version}`]);
  $("box").replaceChildren(...facts.map(([term, value]) => element("div", [element("dt", term), element("dd", value)])));
}

function showToday() {
  const empty = !day || day.steps.every((s) => s.median === null && s.measured === null);
  document.querySelector(".legend").hidden = empty;
  if (empty) $("plot").replaceChildren(element("p", "Neither a forecast nor measured power of today yet.", "faint"));
  else drawPlot($("plot"), $("readout"), day);
  if (day && day.unread) $("readout").textContent = "The measured power of today cannot be read at this moment.";
}

// The day of the browser's own calendar that holds the agent's now.
function localDay(answer) {
  const now = Date.parse(answer.now);
  const start = Date.parse(answer.start);
  const stepMs = answer.step_minutes * 60e3;
  const from = new Date(now);
  from.setHours(0, 0, 0, 0);
  const to = new Date(from);
  to.setDate(to.getDate() + 1);
  const q = answer.forecast;
  const steps = q["0.5"].map((median, k) => ({
    start: start + k * stepMs, measured: answer.measured ? answer.measured[k] : null, median,
    low: q["0.05"][k], q25: q["0.25"][k], q75: q["0.75"][k], high: q["0.95"][k],
  })).filter((s) => s.start >= from.getTime() && s.start < to.getTime());
  return { now, stepMs, steps, from: from.getTime(), to: to.getTime(), unread: answer.measured === null };
}

function showLink() {
  const silent = Date.now() - receivedAt > STALE_MS;
  const said = status ? `last answer ${new Date(receivedAt).toLocaleTimeString()}` : "no answer yet";
  $("link").textContent = trouble ? said : `live, ${said}`;
  let banner = "";
  if (trouble && (silent || !status)) {
    banner = `The agent does not answer (${trouble}). ` +
      (status ? `What you see is ${spoken((Date.now() - receivedAt) / 1000)} old. ` : "") +
      "Look with: systemctl status solar-edge";
  } else if (status && !status.status.online) banner = "The agent is stopping.";
  else if (status && status.age_s > 120) banner = `The agent has not told anything for ${spoken(status.age_s)}.`;
  else if (status && status.clock && !status.clock.trusted) {
    banner = `The clock of the box is not trusted: ${status.clock.reason}. Readings go on; forecasts wait.`;
  }
  $("banner").hidden = banner === "";
  if ($("banner").textContent !== banner) $("banner").textContent = banner;
  document.body.classList.toggle("stale", Boolean(trouble) && silent);
}

// ---- asking, each on its own: one that hangs does not hold up the other

async function refreshStatus() {
  try {
    status = await ask("status.json");
    receivedAt = Date.now();
    trouble = "";
    $("agent").textContent = status.status.agent;
    document.title = `${formatKw(status.site.ac_power)} – ${status.status.agent}`;
    for (const show of [showNow, showDevices, showAlerts, showComplete, showBox]) show();
  } catch (error) {
    trouble = error.name === "TimeoutError" ? "no answer in time" : error.message;
  }
  showLink();
}

async function refreshToday() {
  try {
    const answer = await ask("today.json");
    day = localDay(answer);
    const series = status && status.forecast && status.forecast.series.ac_power;
    $("model").textContent = series ? `forecast by ${series.model}` : "";
    showToday();
  } catch {
    return; // the status, asked for more often, says what is wrong
  }
}

async function keepAsking(refresh, everyMs) {
  for (;;) {
    if (!document.hidden) await refresh();
    await new Promise((done) => { setTimeout(done, everyMs); });
  }
}

window.addEventListener("resize", showToday);
document.addEventListener("visibilitychange", () => {
  if (!document.hidden) { refreshStatus(); refreshToday(); }
});
refreshStatus().then(() => {
  keepAsking(refreshToday, TODAY_EVERY_MS);
  setTimeout(() => keepAsking(refreshStatus, STATUS_EVERY_MS), STATUS_EVERY_MS);
});
