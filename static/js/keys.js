import { toast } from "./toasts.js";

// Single keys act on whatever carries data-key; J and K move over [data-row].
const typing = (target) =>
  target.closest("input:not([type=checkbox]):not([type=radio]), textarea, select, [contenteditable]");
const enabled = () => localStorage.getItem("desk-keys") !== "off";
let cursor = null;

function move(step) {
  const rows = [...document.querySelectorAll("[data-row]")].filter((row) => row.offsetParent !== null);
  if (!rows.length) return;
  const now = rows.findIndex((row) => row === cursor || (row.id && row.id === cursor?.id));
  const next = rows[Math.max(0, Math.min(rows.length - 1, now < 0 ? (step > 0 ? 0 : rows.length - 1) : now + step))];
  cursor?.classList.remove("is-cursor");
  cursor = next;
  cursor.classList.add("is-cursor");
  (cursor.querySelector("a.subject, h2 a, .message") ?? cursor).focus({ preventScroll: true });
  cursor.scrollIntoView({ block: "nearest" });
}

function act(key) {
  // What the page itself offers comes before the navigation.
  const found = [...document.querySelectorAll(`[data-key="${CSS.escape(key)}"]`)].filter((e) => e.offsetParent !== null);
  // Of what waits to be sent, the newest.
  const element = found.findLast((e) => e.closest("#pending")) ?? found.find((e) => e.closest("#main")) ?? found[0];
  return Boolean(element) && perform(element);
}

function perform(element) {
  if (element.matches("input:not([type=checkbox]), textarea")) { element.focus(); element.select(); }
  else element.click();
  // Writing begins at once: the next key belongs to the text.
  if (element.matches(".composer .tab")) element.closest("form").elements.text.focus();
  if (element.matches("[data-open-list]")) return true;
  // A disclosure that a key opened is there to be written in.
  if (element.matches("summary")) (element.parentElement.querySelector("[data-first]") ?? element.parentElement.querySelector("textarea, input:not([type=hidden]), a"))?.focus();
  return true;
}

export function startKeys() {
  document.addEventListener("desk:act", ({ detail }) => perform(detail));
  // A list that keeps its place has its cursor where one was.
  document.addEventListener("desk:cursor", ({ detail }) => { cursor = detail; cursor.classList.add("is-cursor"); cursor.scrollIntoView({ block: "nearest" }); });
  // A row that was swapped for a newer one keeps the cursor; htmx keeps the focus by id.
  for (const swapped of ["htmx:oobAfterSwap", "htmx:afterSwap"]) document.addEventListener(swapped, () => {
    const row = cursor?.id && document.getElementById(cursor.id);
    if (row && row !== cursor) { cursor = row; row.classList.add("is-cursor"); }
  });
  const dialog = document.getElementById("keys");
  const toggle = dialog?.querySelector("[data-keys-switch]");
  if (toggle) {
    toggle.checked = enabled();
    toggle.addEventListener("change", () => localStorage.setItem("desk-keys", toggle.checked ? "on" : "off"));
  }
  document.addEventListener("keydown", (event) => {
    if ((event.ctrlKey || event.metaKey) && event.key === "Enter" && event.target.form?.matches("[data-composer]")) {
      event.preventDefault();
      const form = event.target.form;
      const button = form.querySelector(event.shiftKey ? "[data-send-resolve]" : "[data-send]");
      if (button?.offsetParent) button.click();
      else toast("An internal note resolves nothing. Ctrl Enter adds it.");
      return;
    }
    if ((event.ctrlKey || event.metaKey) && event.key === "Enter" && event.target.matches("form[method=post] :is(textarea, input, select)")) {
      event.preventDefault();
      event.target.form.requestSubmit();
      return;
    }
    if (event.key === "Escape" && typing(event.target)) { event.target.blur(); return; }
    if (event.ctrlKey || event.metaKey || event.altKey || typing(event.target) || document.querySelector("dialog[open]")) return;
    if (event.key === "?") { dialog?.showModal(); event.preventDefault(); return; }
    if (!enabled()) return;
    const key = event.key.toLowerCase();
    if (key === "j" || key === "k") { move(key === "j" ? 1 : -1); event.preventDefault(); }
    else if (event.key.length === 1 && act(key)) event.preventDefault();
  });
}
