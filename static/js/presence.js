// Says that one is on a ticket, and whether one writes; shows who else is. Nobody is kept from anything.
const EVERY = 10000;

export function startPresence() {
  const ticket = document.getElementById("ticket");
  const place = document.getElementById("presence");
  if (!ticket || !place) return;
  const url = ticket.dataset.presenceUrl;
  const form = document.querySelector("[data-composer]");
  let wrote = 0;
  let said = false;

  const writes = () => Boolean(form?.elements.text.value) && Date.now() - wrote < 2 * EVERY;
  const say = async () => {
    if (document.hidden) return;
    said = writes();
    const data = new FormData();
    data.set("writes", said ? "yes" : "no");
    data.set("csrfmiddlewaretoken", JSON.parse(document.body.getAttribute("hx-headers"))["X-CSRFToken"]);
    try {
      const answer = await fetch(url, { method: "POST", body: data });
      if (answer.ok) show(await answer.text());
    } catch { /* the next time */ }
  };
  const show = (html) => {
    const made = new DOMParser().parseFromString(html, "text/html").getElementById("presence");
    if (made && made.innerHTML !== place.innerHTML) place.innerHTML = made.innerHTML;
  };
  form?.elements.text.addEventListener("input", () => { wrote = Date.now(); if (!said) say(); });
  let look = null;
  document.addEventListener("desk:event", ({ detail }) => {
    if (detail.kind !== "presence" || look) return;
    look = setTimeout(async () => {
      look = null;
      const answer = await fetch(url);
      if (answer.ok) show(await answer.text());
    }, 200);
  });
  addEventListener("pagehide", () => {
    const data = new FormData();
    data.set("leaves", "yes");
    data.set("csrfmiddlewaretoken", JSON.parse(document.body.getAttribute("hx-headers"))["X-CSRFToken"]);
    navigator.sendBeacon(url, data);
  });
  document.addEventListener("visibilitychange", say);
  setInterval(say, EVERY);
  say();
}
