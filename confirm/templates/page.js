// What the pages do beyond what they do without scripts: a countdown, a look now and then
// at how a purchase stands, and a button that is not pressed twice. No form is sent by it.
(() => {
  "use strict";
  const main = document.querySelector("main");
  const began = Date.now();

  // A button that was pressed is not pressed again, until the page is shown anew.
  const sent = new Set();
  document.addEventListener("submit", (event) => {
    const form = event.target;
    if (sent.has(form)) {
      event.preventDefault();
      return;
    }
    sent.add(form);
    for (const button of form.querySelectorAll("button")) button.setAttribute("aria-disabled", "true");
  });
  addEventListener("pageshow", (event) => {
    if (event.persisted) location.reload(); // from the browser's memory: it may be otherwise now
  });

  // The countdown runs by what was left when the page was made, not by this clock's time of
  // day. It is said to who does not see it a few times, and at its end.
  const shown = document.getElementById("left");
  const said = document.getElementById("said");
  let over = false;
  if (shown) {
    const spoken = JSON.parse(shown.dataset.spoken);
    const left = () => Math.max(0, Number(shown.dataset.left) - Math.floor((Date.now() - began) / 1000));
    let before = left() + 1;
    const tick = () => {
      const now = left();
      shown.hidden = false;
      shown.textContent = shown.dataset.text.replace("{}", Math.floor(now / 60) + ":" + String(now % 60).padStart(2, "0"));
      for (const at of Object.keys(spoken)) if (now <= at && at < before) said.textContent = spoken[at];
      before = now;
      if (now > 0) return;
      clearInterval(clock);
      over = true;
      main.className = "bad";
      document.querySelector("h1").textContent = shown.dataset.over;
      document.querySelector(".lead").textContent = said.textContent = shown.dataset.overSay;
      document.title = shown.dataset.over;
      shown.hidden = true;
      for (const form of main.querySelectorAll("form")) form.hidden = true;
    };
    const clock = setInterval(tick, 1000);
    tick();
  }

  // A purchase that moves on shows its page anew. The looks get rarer, rest while nobody
  // sees the page, and end with the purchase.
  if (main.dataset.watch) {
    let wait = 1000 * Number(main.dataset.every);
    let timer;
    const look = async () => {
      if (document.hidden || over) return;
      try {
        const answer = await fetch(main.dataset.watch, { headers: { Accept: "application/json" }, cache: "no-store" });
        if (answer.status === 403 || answer.status === 404 || answer.redirected) return;
        if (answer.ok) {
          const purchase = await answer.json();
          if (purchase.is !== main.dataset.is && sent.size === 0) {
            location.reload();
            return;
          }
          if (purchase.over) return;
        }
      } catch {
        // No network: the next look may find one.
      }
      wait = Math.min(wait * 1.5, 30000);
      timer = setTimeout(look, wait);
    };
    timer = setTimeout(look, wait);
    document.addEventListener("visibilitychange", () => {
      clearTimeout(timer);
      if (!document.hidden) timer = setTimeout(look, 500);
    });
  }
})();
