// The behaviours of every page, one module each; those of one page are fetched where it is. All of it is optional:
// without it the forms still work.
import { startBell } from "./bell.js";
import { startClocks } from "./clocks.js";
import { startEvents } from "./events.js";
import { startForms } from "./forms.js";
import { startKeys } from "./keys.js";
import { startList } from "./list.js";
import { startPalette } from "./palette.js";
import { startToasts } from "./toasts.js";

document.addEventListener("click", (event) => {
  if (!event.target.closest("[data-theme-switch]")) return;
  const root = document.documentElement;
  const dark = root.dataset.theme
    ? root.dataset.theme === "dark"
    : matchMedia("(prefers-color-scheme: dark)").matches;
  root.dataset.theme = dark ? "light" : "dark";
  localStorage.setItem("desk-theme", root.dataset.theme);
});

document.addEventListener("click", async (event) => {
  const button = event.target.closest("[data-copy]");
  if (!button) return;
  const code = button.closest(".command")?.querySelector("code");
  if (!code) return;
  await navigator.clipboard.writeText(code.textContent);
  button.dataset.label ||= button.textContent;
  button.lastChild.textContent = "Copied";
  setTimeout(() => { button.lastChild.textContent = button.dataset.label.trim(); }, 1500);
});

// Where a page has what a module is for, the module comes.
const PARTS = [
  ["#queue", "./queue.js", "startQueue"], ["#queue", "./bulk.js", "startBulk"], ["[data-complete]", "./complete.js", "startCompletion"],
  ["#ticket", "./ticket.js", "startTicket"], ["[data-composer]", "./composer.js", "startComposer"], ["#presence", "./presence.js", "startPresence"],
  ["[data-home]", "./home.js", "startHome"], ["[data-timer-box]", "./intake.js", "startIntake"], ["[data-run]", "./run.js", "startRun"],
];

startToasts();
startBell();
startClocks();
startForms();
startKeys();
startPalette();
startList();
const wanted = PARTS.filter(([place]) => document.querySelector(place));
// Events last: whoever is to hear them listens by then.
Promise.all(wanted.map(async ([, module, start]) => (await import(module))[start]())).finally(startEvents);
