// Toasts go by themselves, but for errors; "Show it" after a conflict fetches what changed.
const STAY = 6000;

function watch(toast) {
  if (toast.dataset.toast === "stay" || toast.dataset.watched) return;
  toast.dataset.watched = "1";
  setTimeout(() => toast.remove(), toast.dataset.stay ? 1000 * toast.dataset.stay : STAY);
}

export function toast(text) {
  show(text, "toast bad", "alert", "Dismiss").dataset.dismiss = "";
}

// Puts a toast with a button up, for so many seconds or until it is put away. Returns its button.
function show(text, kind, role, label, seconds) {
  const box = document.createElement("div");
  box.className = kind;
  box.setAttribute("role", role);
  box.dataset.toast = seconds ? "" : "stay";
  if (seconds) box.dataset.stay = seconds;
  const words = document.createElement("span");
  words.textContent = text;
  const button = document.createElement("button");
  button.className = "btn btn-quiet btn-small";
  button.type = "button";
  button.textContent = label;
  box.append(words, button);
  document.getElementById("toasts")?.append(box);
  return button;
}

const SENT = "desk-sent";

// What was sent a moment ago can be taken back on the pages that one goes to meanwhile.
export function sentJustNow(url, until) {
  sessionStorage.setItem(SENT, JSON.stringify({ url, until }));
}

function offerUndo() {
  const { url, until } = JSON.parse(sessionStorage.getItem(SENT) ?? "{}");
  const left = (until - Date.now()) / 1000;
  if (!(left > 0) || document.querySelector(`form[action="${url}"]`)) return;
  const button = show("Your reply is being sent.", "toast", "status", "Undo (U)", left);
  button.dataset.key = "u";
  button.addEventListener("click", () => htmx.ajax("POST", url, { swap: "none" }));
}

export function startToasts() {
  const box = document.getElementById("toasts");
  if (!box) return;
  offerUndo();
  box.querySelectorAll("[data-toast]").forEach(watch);
  new MutationObserver(() => box.querySelectorAll("[data-toast]").forEach(watch)).observe(box, { childList: true, subtree: true });
  document.addEventListener("click", (event) => {
    if (event.target.closest("[data-dismiss], [data-refresh]")) event.target.closest("[data-toast]")?.remove();
    if (event.target.closest("[data-refresh]")) document.dispatchEvent(new Event("desk:refresh"));
  });
  // What was sent anew from a toast, and went through, has been dealt with.
  document.addEventListener("htmx:afterRequest", ({ detail }) => {
    if (detail.successful && detail.elt.matches("[data-toast] form")) { detail.elt.closest("[data-toast]").remove(); document.dispatchEvent(new Event("desk:refresh")); }
  });
  document.addEventListener("htmx:sendError", (event) => {
    // A refresh in the background that failed is tried again by itself.
    if (event.detail.requestConfig.verb !== "get") toast("The server could not be reached. Nothing was lost: try again.");
  });
  document.addEventListener("htmx:responseError", (event) => {
    if (event.detail.xhr.status >= 500) toast("Something broke on our side; it was logged. Nothing was lost: try again.");
  });
}
