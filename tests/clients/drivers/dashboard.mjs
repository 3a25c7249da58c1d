// Runs the script of the dashboard, whose page is on standard input, with a stand-in for a browser: what it shows after each
// step is printed, and what it asks. There is no way for text to become HTML here, so a script that tries fails.
import { readFileSync } from "node:fs";

class Element {
  kids = []; listeners = {}; textContent = "";
  setAttribute() {}
  appendChild(kid) { this.append(kid); return kid; }
  append(...kids) { for (const kid of kids) this.insertBefore(kid, null); }
  insertBefore(kid, before) {
    this.kids.splice(before ? this.kids.indexOf(before) : this.kids.length, 0, kid);
    if (kid instanceof Element) kid.parent = this;
  }
  remove() { this.parent.kids.splice(this.parent.kids.indexOf(this), 1); }
  addEventListener(kind, listener) { this.listeners[kind] = listener; }
  text() { return this.textContent !== "" ? this.textContent : this.kids.filter((kid) => kid.text).map((kid) => kid.text()).join("|"); }
}

const ids = { rows: new Element(), line: new Element() }, asked = [];
const evil = "<img src=x onerror=alert(1)>";
let instances = [
  { name: "b", state: "ready", phase: "ready", in_flight: 1, waiting: 0 },
  { name: evil, state: "bootstrapping", phase: "queued", in_flight: 0, waiting: 2 },
];
let events;
Object.assign(globalThis, {
  document: { getElementById: (id) => ids[id], createElement: () => new Element(), hidden: false },
  fetch: async (path, how) => { asked.push((how.method ?? "GET") + " " + path); return { ok: true, json: async () => ({ instances }) }; },
  EventSource: class extends Element { constructor(path) { super(); asked.push(path); events = this; } },
  setInterval: () => {},
});
const show = async (what) => {
  await new Promise((done) => setImmediate(() => setImmediate(done)));
  console.log(what + ": " + ids.rows.kids.map((row) => row.kids.map((cell) => cell.text()).join(" ")).join(" / "));
};

(0, eval)(readFileSync(0, "utf8").match(/<script nonce="[0-9a-f]{16}">([^]*)<\/script>/)[1]);
await show("at first");
events.listeners.state({ data: JSON.stringify({ name: evil, words: "queued (Priority)" }) });
await show("an event");
ids.rows.kids[0].kids[6].kids[2].listeners.click();
instances = instances.slice(0, 1);
events.listeners.gone({ data: JSON.stringify({ name: evil }) });
await show("gone");
console.log(asked.join(", "));
