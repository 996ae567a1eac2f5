// Asks the centre every few seconds and shows the fleet; one site's plot below the table.
"use strict";

const REFRESH_MS = 5000;
const PLOT_REFRESH_MS = 15000;
const PAST_MS = 24 * HOUR;
const AHEAD_MS = 48 * HOUR;
const $ = (id) => document.getElementById(id);

let fleet = null;
let plotData = null;
let plotted = { site: null, at: 0 };

function element(name, content, className) {
  const node = document.createElement(name);
  if (className) node.className = className;
  node.append(...[content].flat().filter((part) => part !== null && part !== undefined && part !== ""));
  return node;
}

async function ask(path) {
  const answer = await fetch(path, { headers: { Accept: "application/json" } });
  if (answer.status === 404) return null;
  if (!answer.ok) throw new Error(`${path}: ${answer.status}`);
  return answer.json();
}

function ago(iso) {
  if (!iso) return "never";
  const seconds = Math.max(0, (Date.parse(fleet.now) - Date.parse(iso)) / 1000);
  if (seconds < 90) return `${Math.round(seconds)} s ago`;
  if (seconds < 5400) return `${Math.round(seconds / 60)} min ago`;
  if (seconds < 172800) return `${Math.round(seconds / 3600)} h ago`;
  return iso.slice(0, 10);
}

// What runs on the box, and what it refused: one does not hide the other.
function bundleBadges(site) {
  const bundle = site.bundle;
  if (!bundle) return [element("small", site.kind === "plain_device" ? "forecast by the centre" : "–")];
  const badges = [bundle.active
    ? element("span", `release ${bundle.release}`, "badge active")
    : element("span", "built-in forecast", "badge none")];
  if (bundle.state === "staged" || bundle.state === "trial") badges.push(element("span", bundle.state, `badge ${bundle.state}`));
  if (bundle.refused) badges.push(element("span", "refused", "badge refused"));
  return badges;
}

function showSummary() {
  const sites = fleet.sites;
  const online = sites.filter((site) => site.online);
  const live = online.filter((site) => site.ac_power_kw !== null);
  const refused = sites.filter((site) => site.bundle && site.bundle.refused).length;
  const tiles = [
    [`${online.length} / ${sites.length}`, "sites online"],
    [live.length ? formatKw(live.reduce((sum, site) => sum + site.ac_power_kw, 0)) : "–", "generation now"],
    [String(sites.filter((site) => site.bundle && site.bundle.active).length), "sites on a signed bundle"],
    [String(refused), "refused bundles"],
  ];
  $("summary").replaceChildren(...tiles.map(([value, label]) =>
    element("div", [element("b", value), element("span", label)])));
}

function row(site) {
  const line = element("tr", []);
  line.dataset.site = site.id;
  const name = element("button", site.id);
  name.type = "button";
  line.append(element("td", [element("i", [], `dot ${site.online ? "on" : ""}`), name]));
  line.append(element("td", site.ac_power_kw === null && site.ghi !== null
    ? `${Math.round(site.ghi)} W/m²` : formatKw(site.ac_power_kw), "number"));
  const share = site.capacity_kw && site.ac_power_kw !== null ? site.ac_power_kw / site.capacity_kw : null;
  const bar = element("span", element("i", []), "bar");
  if (share !== null) bar.firstChild.style.width = `${Math.min(100, Math.max(0, share * 100))}%`;
  line.append(element("td", share === null ? "–" : [bar, ` ${Math.round(share * 100)} %`], "number"));
  line.append(element("td", bundleBadges(site)));
  line.append(element("td", ago(site.last_seen)));
  line.addEventListener("click", () => { location.hash = encodeURIComponent(site.id); });
  return line;
}

function showTable() {
  const focused = document.activeElement && document.activeElement.closest("tr");
  const rows = fleet.sites.map(row);
  document.querySelector("#sites tbody").replaceChildren(...rows);
  if (focused) {
    const again = rows.find((line) => line.dataset.site === focused.dataset.site);
    if (again) again.querySelector("button").focus();
  }
  $("sites").hidden = rows.length === 0;
  $("empty").hidden = rows.length > 0;
}

function pickedSite() {
  const wanted = decodeURIComponent(location.hash.slice(1));
  return fleet.sites.find((site) => site.id === wanted) ||
    fleet.sites.find((site) => site.kind === "agent") || fleet.sites[0] || null;
}

function showFacts(site, forecast) {
  const facts = [
    ["Status", `${site.online ? "online" : "offline"}, last seen ${ago(site.last_seen)}`],
    ["Power now", formatKw(site.ac_power_kw) + (site.measured_at ? ` at ${formatTime(Date.parse(site.measured_at))}` : "")],
    ["Capacity", site.capacity_kw === null ? "not registered" : formatKw(site.capacity_kw)],
  ];
  if (site.version) facts.push(["Agent", site.version]);
  const bundle = site.bundle;
  if (bundle) {
    facts.push(["Bundle", [...bundleBadges(site), bundle.active ? ` ${bundle.active}` : ""]]);
    if (bundle.refused) {
      facts.push(["Refused bundle", element("span", `${bundle.refused}: ${bundle.reason || "no reason given"}`, "reason")]);
    }
  }
  if (forecast) {
    const interval = forecast.interval;
    facts.push(["Forecast issued", formatTime(Date.parse(forecast.issued_at))]);
    facts.push(["Coverage of the 5–95 % band", interval.observed === null
      ? `not measured yet (${interval.state})`
      : `${Math.round(interval.observed * 100)} % of ${interval.count} (${interval.state})`]);
    facts.push(["Weather", forecast.weather_mode === "none" ? "from measurements alone" : forecast.weather_mode]);
  }
  $("facts").replaceChildren(...facts.map(([term, value]) =>
    element("div", [element("dt", term), element("dd", value)])));
}

function showPlot() {
  const empty = !plotData.ahead.length && !plotData.actual.length;
  if (empty) $("plot").replaceChildren(element("p", "Neither a forecast nor measured power yet."));
  else drawPlot($("plot"), $("readout"), plotData);
  document.querySelector(".legend").hidden = empty;
}

async function showDetail() {
  const site = pickedSite();
  $("detail").hidden = !site;
  document.querySelectorAll("#sites tbody tr").forEach((line) =>
    line.classList.toggle("picked", Boolean(site) && line.dataset.site === site.id));
  if (!site) return;
  const stale = plotted.site !== site.id || Date.now() - plotted.at >= PLOT_REFRESH_MS;
  if (stale) {
    plotted = { site: site.id, at: Date.now() };
    // A device whose clock stands elsewhere is shown around its own newest record.
    const now = Date.parse(site.measured_at || fleet.now);
    const base = `api/v1/sites/${encodeURIComponent(site.id)}`;
    const from = new Date(now - PAST_MS).toISOString();
    const until = new Date(now).toISOString();
    const [ahead, before, recent] = await Promise.all([
      ask(`${base}/forecast`), ask(`${base}/forecast?issued_before=${from}`),
      ask(`${base}/recent?hours=${PAST_MS / HOUR}&until=${until}`),
    ]);
    if (plotted.site !== site.id) return; // another one was picked meanwhile
    $("readout").textContent = "";
    plotData = {
      forecast: ahead, now, from: now - PAST_MS, to: now + AHEAD_MS, capacity: site.capacity_kw,
      ahead: ahead ? forecastSteps(ahead) : [],
      before: before && before.issued_at !== ahead.issued_at ? forecastSteps(before) : [],
      actual: recent ? recent.ac_power.map(([start, kw]) => ({ start: Date.parse(start), kw })) : [],
      stepMs: recent ? recent.step_minutes * 60e3 : 900e3,
    };
    showPlot();
  }
  $("detail-title").textContent = site.id;
  const forecast = plotData && plotData.forecast;
  $("detail-model").textContent = forecast ? forecast.model : "no forecast yet";
  showFacts(site, forecast);
}

async function refresh() {
  try {
    fleet = await ask("api/v1/sites");
    $("clock").textContent = `${fleet.now.slice(0, 16).replace("T", " ")} UTC`;
    showSummary();
    showTable();
    await showDetail();
    $("link").textContent = "live";
    $("link").className = "";
  } catch (error) {
    plotted.at = 0;
    $("link").textContent = "the centre does not answer; trying again";
    $("link").className = "bad";
    console.warn(error);
  }
}

async function keepFresh() {
  await refresh();
  setTimeout(keepFresh, REFRESH_MS);
}

window.addEventListener("hashchange", () => { if (fleet) showDetail().catch(console.warn); });
window.addEventListener("resize", () => { if (plotData) showPlot(); });
keepFresh();
