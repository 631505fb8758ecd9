// A form may be replaced, because somebody else changed the same thing, while its own request is under way.
// htmx then looks for the places of the answer in the form's detached tree and drops it; so we put it in its place.
export function startForms() {
  document.addEventListener("htmx:beforeRequest", ({ detail }) => {
    const form = detail.elt;
    if (form.getAttribute("hx-swap") !== "none") return;
    form.addEventListener("htmx:beforeOnLoad", (event) => {
      const answer = event.detail.xhr;
      if (form.isConnected || answer.status >= 500 || answer.getResponseHeader("HX-Redirect")) return;
      event.preventDefault();
      const target = document.querySelector(answer.getResponseHeader("HX-Retarget") ?? "body");
      htmx.swap(target, answer.response, { swapStyle: answer.getResponseHeader("HX-Reswap") ?? "none" });
    }, { once: true });
  });
}
