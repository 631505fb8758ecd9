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
  const soon = () => { timer ??= setTimeout(refresh, 150 + Math.random() * 350); };

  document.addEventListener("desk:event", ({ detail }) => {
    if (!detail.topic.startsWith("ticket.")) return;
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
