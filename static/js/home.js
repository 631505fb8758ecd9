// Home stays fresh, and a lead gives a ticket to somebody by dragging it there.
export function startHome() {
  const home = document.querySelector("[data-home]");
  if (!home) return;
  let timer = null;
  const soon = () => { timer ??= setTimeout(() => { timer = null; if (!home.contains(document.activeElement?.closest("select"))) htmx.trigger(home, "refresh"); }, 400 + Math.random() * 800); };
  document.addEventListener("desk:event", soon);
  let level = 0; // of the ticket that is dragged: who works a lower tier cannot have it
  home.addEventListener("dragstart", (event) => {
    const row = event.target.closest("[data-ticket]");
    if (!row) return;
    level = Number(row.dataset.level);
    event.dataTransfer.setData("text/x-ticket", JSON.stringify([row.dataset.ticket, row.dataset.version]));
    event.dataTransfer.effectAllowed = "move";
  });
  const person = (event) => {
    const over = event.dataTransfer.types.includes("text/x-ticket") && event.target.closest("[data-person]");
    return over && Number(over.dataset.level) >= level ? over : null;
  };
  home.addEventListener("dragover", (event) => {
    const over = person(event);
    home.querySelector(".is-over")?.classList.remove("is-over");
    if (over) { event.preventDefault(); over.classList.add("is-over"); }
  });
  home.addEventListener("drop", (event) => {
    const over = person(event);
    if (!over) return;
    event.preventDefault();
    over.classList.remove("is-over");
    const [ticket, version] = JSON.parse(event.dataTransfer.getData("text/x-ticket"));
    htmx.ajax("POST", `/tickets/${ticket}/assign/`, { swap: "none", values: { assignee: over.dataset.person, version, quiet: 1 } });
  });
  document.addEventListener("htmx:afterRequest", (event) => { if (event.detail.requestConfig.verb === "post") soon(); });
}
