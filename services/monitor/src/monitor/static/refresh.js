// Reads the page again every few seconds and puts the new state in place: no jump, no flicker, opened
// drawers stay open. When the monitor does not answer, the page says that what it shows is old.
"use strict";

const EVERY_MS = 4000;
const TIMEOUT_MS = 8000;
let readAt = new Date();

async function again() {
  const silent = document.getElementById("silent");
  try {
    const answer = await fetch(location.href, { signal: AbortSignal.timeout(TIMEOUT_MS) });
    if (!answer.ok) throw new Error(answer.status);
    const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
    const old = document.getElementById("live");
    const now = fresh.getElementById("live");
    for (const drawer of old.querySelectorAll("details[id]")) {
      const same = now.querySelector(`details[id="${CSS.escape(drawer.id)}"]`);
      if (same) same.open = drawer.open;
    }
    const focused = document.activeElement?.closest?.("details[id]")?.id;
    old.replaceWith(now);
    if (focused) document.getElementById(focused)?.querySelector("summary")?.focus({ preventScroll: true });
    document.querySelector("footer").replaceWith(fresh.querySelector("footer"));
    document.title = fresh.title;
    document.body.classList.remove("old");
    silent.hidden = true;
    readAt = new Date();
  } catch {
    const minutes = Math.floor((new Date() - readAt) / 60000);
    silent.textContent = `The monitor gives no answer: everything below is ${minutes ? `${minutes} min` : "some seconds"} old.`;
    silent.hidden = false;
    document.body.classList.add("old");
  }
  setTimeout(again, EVERY_MS);
}

setTimeout(again, EVERY_MS);
