"use strict";
// All that comes from elsewhere goes into `textContent`, never into HTML.
const rows = document.getElementById("rows"), line = document.getElementById("line");
const byName = new Map(), words = new Map();
let asking = false, again = false;

function row(name) {
  if (byName.has(name)) return byName.get(name);
  const tr = document.createElement("tr"), cells = {};
  for (const key of ["name", "state", "since", "words", "in_flight", "waiting", "actions"]) {
    const cell = document.createElement(key === "name" ? "th" : "td");
    if (key === "name") cell.scope = "row";
    if (key === "in_flight" || key === "waiting") cell.className = "number";
    cells[key] = tr.appendChild(cell);
  }
  cells.name.textContent = name;
  for (const verb of ["start", "stop"]) {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = verb;
    button.setAttribute("aria-label", verb + " " + name);
    button.addEventListener("click", () => act(verb, name, button));
    cells.actions.append(button, " ");
    cells[verb] = button;
  }
  const log = document.createElement("a");
  log.href = "/logs/" + encodeURIComponent(name) + "?follow=true";
  log.textContent = "log";
  log.setAttribute("aria-label", "log of " + name);
  cells.actions.append(log);
  const after = [...byName.keys()].filter((other) => other > name).sort()[0];
  rows.insertBefore(tr, after ? byName.get(after).tr : null);
  byName.set(name, { tr, cells });
  return byName.get(name);
}

function show(one) {
  const { cells } = row(one.name);
  cells.state.textContent = one.phase && one.phase !== one.state ? one.state + " (" + one.phase + ")" : one.state;
  cells.state.className = /^[a-z-]+$/.test(one.state) ? one.state : "";
  const said = one.problem ? one.problem.what + "; " + one.problem.hint : words.get(one.name);
  const link = one.link && one.link.run ? "run `" + one.link.run + "`" : "";
  cells.words.textContent = [said, link].filter(Boolean).join("; ");
  cells.since.textContent = one.since ? new Date(one.since).toLocaleString() : "";
  cells.in_flight.textContent = one.in_flight;
  cells.waiting.textContent = one.waiting;
  cells.start.disabled = one.state === "ready" || one.state === "bootstrapping";
  cells.stop.disabled = one.state === "stopped" || one.state === "stopping";
}

function forget(name) {
  byName.get(name)?.tr.remove();
  byName.delete(name);
  words.delete(name);
}

// One question at a time: what comes meanwhile asks once more.
async function refresh() {
  if (asking) { again = true; return; }
  asking = true;
  try {
    const answer = await fetch("/instances", { headers: { accept: "application/json" } });
    if (!answer.ok) throw new Error("status " + answer.status);
    const { instances } = await answer.json();
    const there = new Set(instances.map((one) => one.name));
    for (const name of [...byName.keys()]) if (!there.has(name)) forget(name);
    instances.forEach(show);
    line.textContent = instances.length + (instances.length === 1 ? " instance" : " instances");
  } catch (error) {
    line.textContent = "the proxy does not answer: " + error.message;
  }
  asking = false;
  if (again) { again = false; refresh(); }
}

async function act(verb, name, button) {
  button.disabled = true;
  try {
    const answer = await fetch("/" + verb + "/" + encodeURIComponent(name), { method: "POST" });
    if (!answer.ok) line.textContent = (await answer.json()).error.message;
  } catch (error) {
    line.textContent = verb + " " + name + ": " + error.message;
  }
  refresh();
}

const events = new EventSource("/events");
function moved(event) {
  const told = JSON.parse(event.data);
  for (const one of told.instances ?? [told]) words.set(one.name, one.words);
  refresh();
}
for (const kind of ["now", "gap", "state", "gone"]) events.addEventListener(kind, moved);
events.onerror = () => { line.textContent = "the connection was lost, and is tried again …"; };
// What changes without an event: requests in flight and waiting.
setInterval(() => { if (!document.hidden) refresh(); }, 5000);
refresh();
