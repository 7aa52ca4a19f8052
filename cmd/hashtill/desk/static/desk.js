// What moves on the desk without being loaded again. All of it works without this file.
"use strict";

// A part with data-live is replaced by what its stream of events brings.
for (const part of document.querySelectorAll("[data-live]")) follow(part);

function follow(part) {
  const says = document.getElementById("moving");
  const say = text => { if (says) says.textContent = text; };
  const stream = new EventSource(part.dataset.live);
  stream.onopen = () => say("This page moves by itself.");
  stream.onmessage = event => { part.innerHTML = event.data; };
  stream.addEventListener("gone", () => { stream.close(); location.reload(); });
  stream.onerror = () => {
    say("It does not move at the moment. Trying again …");
    if (stream.readyState === EventSource.CLOSED) setTimeout(() => follow(part), 15000);
  };
}

// A form with data-ask asks before it sends what takes something away.
document.addEventListener("submit", event => {
  const ask = event.target.dataset.ask;
  if (ask && !confirm(ask)) event.preventDefault();
});

// Nothing is sent twice by two quick taps.
document.addEventListener("submit", event => {
  if (event.defaultPrevented) return;
  const form = event.target;
  if (form.method !== "post" || form.dataset.again !== undefined) return;
  if (form.dataset.sent) { event.preventDefault(); return; }
  form.dataset.sent = "yes";
  setTimeout(() => delete form.dataset.sent, 3000); // it may have been answered by a file
});
addEventListener("pageshow", () => { for (const form of document.forms) delete form.dataset.sent; });
