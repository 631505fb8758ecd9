// The behaviours of every page, one module each. All of it is optional: without it the forms still work.
import { startBulk } from "./bulk.js";
import { startClocks } from "./clocks.js";
import { startCompletion } from "./complete.js";
import { startComposer } from "./composer.js";
import { startEvents } from "./events.js";
import { startForms } from "./forms.js";
import { startHome } from "./home.js";
import { startIntake } from "./intake.js";
import { startKeys } from "./keys.js";
import { startList } from "./list.js";
import { startPalette } from "./palette.js";
import { startPresence } from "./presence.js";
import { startQueue } from "./queue.js";
import { startRun } from "./run.js";
import { startTicket } from "./ticket.js";
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

startToasts();
startClocks();
startForms();
startIntake();
startKeys();
startComposer();
startHome();
startPalette();
startQueue();
startCompletion();
startList();
startBulk();
startTicket();
startPresence();
startRun();
startEvents();
