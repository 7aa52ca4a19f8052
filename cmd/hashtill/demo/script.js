// Keeps the page live: it hears that something has changed, fetches the parts anew
// and puts those in place that are different, without touching what is typed, the
// opened mail, the focus or how far was scrolled. Without it the page works too.
"use strict";

const same = new Map(); // id of a part → its HTML as the server last sent it
const sent = new WeakMap(); // entry of a list → the same
let ahead = 0; // the shop's clock minus this one, in ms
let zone = 0; // the shop's zone, in ms

const parts = (root) => root.querySelectorAll("[data-part]");

function readClock(clock) {
  ahead = Number(clock.dataset.now) - Date.now();
  const [h, m] = clock.textContent.split(":").map(Number);
  const utc = new Date(Number(clock.dataset.now));
  zone = ((h * 60 + m) - (utc.getUTCHours() * 60 + utc.getUTCMinutes())) * 60000;
}

const parse = (html) => new DOMParser().parseFromString(html, "text/html");

// take puts in place what is different in the parts as the server has them now.
function take(html, { fresh = false } = {}) {
  for (const part of parts(parse(html))) {
    const old = document.getElementById(part.id);
    if (!old || part.id === "notice") continue; // a notice stays until the next deed
    if (part.id === "clock") {
      old.dataset.now = part.dataset.now;
      readClock(part);
      continue;
    }
    if (same.get(part.id) === part.innerHTML && !(fresh && part.id === "composer")) continue;
    same.set(part.id, part.innerHTML);
    const focused = old.contains(document.activeElement) ? document.activeElement : null;
    const typed = old.querySelector("textarea");
    if ("list" in old.dataset) reconcile(old, part);
    else old.replaceChildren(...part.childNodes);
    keepTyped(old.querySelector("textarea"), typed, fresh);
    if (focused && !focused.isConnected) {
      const entry = focused.closest("[data-key]")?.dataset.key;
      const there = document.getElementById(focused.id) || old.querySelector(`[data-key="${entry}"] :is(button, a)`);
      there?.focus({ preventScroll: true });
    }
  }
  tick();
}

// keepTyped keeps what was typed, unless it was sent or is for something else.
function keepTyped(now, before, fresh) {
  if (!now || !before || fresh) return;
  if (now.form.dataset.mode !== before.form.dataset.mode || before.value === before.defaultValue) return;
  now.value = before.value;
  now.setSelectionRange(before.selectionStart, before.selectionEnd);
}

// reconcile keeps the entries of a list that are as they were.
function reconcile(list, fresh) {
  const have = new Map([...list.children].map((e) => [e.dataset.key, e]));
  const next = [...fresh.children].map((e) => {
    const old = have.get(e.dataset.key);
    if (old && sent.get(old) === e.outerHTML) return old;
    sent.set(e, e.outerHTML);
    if (!old) e.classList.add("new");
    return e;
  });
  for (const e of [...list.children]) if (!next.includes(e)) e.remove();
  let at = list.firstElementChild;
  for (const e of next) {
    if (e === at) at = at.nextElementSibling;
    else list.insertBefore(e, at);
  }
}

let line = Promise.resolve(); // one fetch after the other, so that the last answer is the newest
let waiting = false; // a fetch for a change that was heard of has not begun

// refresh fetches the parts and takes them.
function refresh(how) {
  line = line.then(async () => {
    waiting = false;
    try {
      const answer = await fetch("/parts" + location.search);
      if (answer.ok) take(await answer.text(), how);
    } catch {
      // The stream of events tells when the demo is back.
    }
  });
  return line;
}

function heard() {
  if (waiting) return;
  waiting = true;
  refresh();
}

function tick() {
  const now = Date.now() + ahead;
  document.getElementById("clock").textContent = new Date(now + zone).toISOString().slice(11, 19);
  for (const e of document.querySelectorAll("[data-until]")) {
    const s = Math.floor((Number(e.dataset.until) - now) / 1000);
    const two = (n) => String(n).padStart(2, "0");
    const hours = Math.floor(s / 3600);
    const rest = Math.floor(s / 60) % 60;
    e.textContent = s <= 0 ? e.dataset.then || "" : (hours ? hours + ":" + two(rest) : rest) + ":" + two(s % 60);
  }
}

document.addEventListener("submit", async (event) => {
  const form = event.target;
  if (form.method !== "post" || form.target) return;
  event.preventDefault();
  if (form.dataset.busy) return;
  form.dataset.busy = "yes";
  event.submitter?.setAttribute("aria-busy", "true");
  try {
    const body = new URLSearchParams(new FormData(form, event.submitter));
    const answer = await fetch(form.action, { method: "POST", body, redirect: "manual" });
    const notice = document.getElementById("notice");
    if (answer.type !== "opaqueredirect") {
      const said = parse(await answer.text()).getElementById("notice");
      notice.replaceChildren(...(said ? said.childNodes : ["That did not work: " + answer.status]));
      notice.scrollIntoView({ block: "nearest" });
      return;
    }
    notice.replaceChildren();
    const fresh = form.id === "compose";
    if (fresh) {
      const here = new URL(location);
      for (const key of ["reply", "quote", "fill"]) here.searchParams.delete(key);
      here.hash = "";
      history.replaceState(null, "", here);
    }
    await refresh({ fresh });
  } catch {
    document.body.classList.add("lost");
  } finally {
    delete form.dataset.busy;
    event.submitter?.removeAttribute("aria-busy");
  }
});

document.addEventListener("click", async (event) => {
  const link = event.target.closest("a[data-soft]");
  if (!link || event.button || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
  event.preventDefault();
  const { hash, dataset } = link;
  history.pushState(null, "", link.href);
  await refresh();
  if (hash === "#composer") {
    const text = document.getElementById("text");
    if (dataset.fill) text.value = dataset.fill;
    text.focus({ preventScroll: true });
  }
  document.querySelector(hash || "main")?.scrollIntoView({ block: hash === "#opened" ? "start" : "nearest" });
});

window.addEventListener("popstate", () => refresh());

for (const part of parts(document)) {
  same.set(part.id, part.innerHTML);
  if ("list" in part.dataset) for (const e of part.children) sent.set(e, e.outerHTML);
}
readClock(document.getElementById("clock"));
setInterval(tick, 1000);

const events = new EventSource("/events");
events.onmessage = heard;
events.onopen = () => document.body.classList.remove("lost");
events.onerror = () => document.body.classList.add("lost");
