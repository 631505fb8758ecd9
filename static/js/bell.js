// The notifications: their number on every open page, the panel under the bell, and pop-ups of the browser, once each.
import { leads } from "./events.js";

const POPPED = "desk-popped";

// Nothing where the server is away or one is signed out: the next event asks again.
async function fresh(after) {
  try {
    const answer = await fetch(`/notifications/fresh/?after=${after}`);
    return answer.ok && !answer.redirected ? await answer.json() : null;
  } catch { return null; }
}

export function startBell() {
  const bell = document.querySelector("[data-bell]");
  if (!bell) return;
  const panel = document.getElementById("bell");
  const title = document.title;
  const mine = bell.dataset.topics;
  const isOpen = () => Boolean(panel.showPopover) && panel.matches(":popover-open");
  let wasOpen = false; // a press outside the panel closes it before the click comes
  bell.addEventListener("pointerdown", () => { wasOpen = isOpen(); });
  let timer = null;

  const show = (unread) => {
    const count = document.getElementById("bell-count");
    count.textContent = unread;
    count.classList.toggle("hot", Boolean(unread));
    for (const other of document.querySelectorAll("[data-unread]")) { other.textContent = unread; other.classList.toggle("hot", Boolean(unread)); }
    document.title = unread ? `(${unread}) ${title}` : title;
  };
  // One tab of the browser pops up what is new; where it was told before is kept for whichever tab leads next.
  const look = async () => {
    timer = null;
    const known = Math.max(Number(localStorage.getItem(POPPED) ?? 0), Number(bell.dataset.cursor));
    const found = await fresh(known);
    if (!found) return;
    const { unread, popups } = found;
    show(unread);
    if (isOpen()) load();
    if (!leads() || !popups.length || !("Notification" in window) || Notification.permission !== "granted") return;
    localStorage.setItem(POPPED, Math.max(...popups.map((one) => one.id)));
    for (const one of popups) {
      const made = new Notification(one.text, { body: one.reason, tag: `desk-${one.id}` });
      made.addEventListener("click", () => { focus(); location.assign(`/notifications/${one.id}/`); });
    }
  };
  document.addEventListener("desk:event", ({ detail }) => {
    if (detail.topic === mine) timer ??= setTimeout(look, 100 + Math.random() * 300);
  });

  const load = () => htmx.ajax("GET", bell.href, { target: "#bell", swap: "innerHTML" });
  bell.setAttribute("aria-haspopup", "dialog");
  bell.addEventListener("click", async (event) => {
    if (event.ctrlKey || event.metaKey || event.shiftKey || !panel.showPopover) return;
    event.preventDefault();
    if (isOpen() || wasOpen) { wasOpen = false; if (isOpen()) panel.hidePopover(); return; }
    await load();
    panel.showPopover();
    (panel.querySelector(".notices a, .notices button") ?? panel.querySelector("a, button"))?.focus();
  });
  panel.addEventListener("htmx:afterSettle", () => { if (isOpen() && !panel.contains(document.activeElement)) panel.querySelector("a, button")?.focus(); });
  panel.addEventListener("toggle", (event) => { if (event.newState === "closed" && panel.contains(document.activeElement)) bell.focus(); });
  show(document.getElementById("bell-count").textContent);
  startPermission();
}

function startPermission() {
  const words = document.querySelector("[data-permission]");
  const ask = document.querySelector("[data-ask-permission]");
  if (!words) return;
  const say = () => {
    const state = "Notification" in window ? Notification.permission : "missing";
    ask.hidden = state !== "default";
    words.textContent = {
      granted: "This browser shows them. Pop-ups come while a page of the desk is open in it.",
      denied: "This browser was told not to show them; allow notifications for this site in its settings.",
      missing: "This browser cannot show them.",
      default: "Pop-ups need this browser's permission.",
    }[state];
  };
  ask.addEventListener("click", async () => { await Notification.requestPermission(); say(); });
  say();
}
