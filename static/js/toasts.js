// Toasts go by themselves, but for errors; "Show it" after a conflict fetches what changed.
const STAY = 6000;

function watch(toast) {
  if (toast.dataset.toast === "stay" || toast.dataset.watched) return;
  toast.dataset.watched = "1";
  setTimeout(() => toast.remove(), Math.max(STAY, 1000 * (toast.dataset.stay ?? 0)));
}

export function toast(text) {
  const box = document.createElement("div");
  box.className = "toast bad";
  box.setAttribute("role", "alert");
  box.dataset.toast = "stay";
  const words = document.createElement("span");
  words.textContent = text;
  const button = document.createElement("button");
  button.className = "btn btn-quiet btn-small";
  button.type = "button";
  button.dataset.dismiss = "";
  button.textContent = "Dismiss";
  box.append(words, button);
  document.getElementById("toasts")?.append(box);
}

export function startToasts() {
  const box = document.getElementById("toasts");
  if (!box) return;
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
