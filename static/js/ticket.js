// Another's change appears in place, but not under the hands of somebody who is choosing a property.
export function startTicket() {
  const ticket = document.getElementById("ticket");
  if (!ticket) return;
  const url = ticket.dataset.changesUrl;
  let timer = null;
  let refreshing = false;
  const busy = () => document.activeElement?.closest("#ticket-side form, #ticket-heading form") ?? document.querySelector(".escalate[open], .inline-edit[open]");

  const refresh = () => {
    timer = null;
    if (busy()) {
      document.getElementById("changed").hidden = false;
      document.addEventListener("focusout", soon, { once: true });
      return;
    }
    refreshing = true;
    htmx.ajax("GET", url, { swap: "none" }).finally(() => { refreshing = false; });
  };
  // The answer of a refresh may come when somebody has just begun to choose or write there.
  document.addEventListener("htmx:oobBeforeSwap", (event) => {
    if (!refreshing || !busy() || !["ticket-side", "ticket-heading"].includes(event.detail.target.id)) return;
    event.detail.shouldSwap = false;
    document.addEventListener("focusout", () => soon(), { once: true });
  });
  // What somebody has begun to write in the side stays when another act's answer brings the side anew.
  let sent = null;
  document.addEventListener("htmx:beforeRequest", ({ detail }) => { sent = detail.elt.closest("#ticket-side form"); });
  document.addEventListener("htmx:oobBeforeSwap", ({ detail }) => {
    if (detail.target.id !== "ticket-side" || detail.shouldSwap === false) return;
    for (const field of detail.target.querySelectorAll("details[open] :is(input:not([type=hidden]), textarea, select)[id], #new-step")) {
      const fresh = detail.fragment.querySelector(`#${CSS.escape(field.id)}`);
      if (!fresh || sent?.contains(field)) continue;
      fresh.closest("details")?.setAttribute("open", "");
      if (field.value !== field.defaultValue) fresh.value = field.value;
    }
  });
  const soon = () => { timer ??= setTimeout(refresh, 150 + Math.random() * 350); };

  document.addEventListener("desk:event", ({ detail }) => {
    if (!detail.topic.startsWith("ticket.") || detail.kind === "presence") return;
    soon();
    if (detail.kind.startsWith("run_") || detail.kind === "changed") htmx.trigger("#runs", "refresh");
  });
  document.addEventListener("desk:refresh", () => htmx.ajax("GET", url, { swap: "none" }));

  const scroll = document.querySelector(".conversation-scroll");
  scroll.scrollTop = scroll.scrollHeight;
  document.addEventListener("htmx:oobAfterSwap", (event) => {
    if (event.detail.target.id === "timeline") scroll.scrollTop = scroll.scrollHeight;
  });
}
