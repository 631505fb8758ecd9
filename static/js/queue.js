// The queue stays where it is: rows on screen change in place, new ones wait behind "2 new, show".
export function startQueue() {
  const queue = document.getElementById("queue");
  if (!queue) return;
  const button = document.querySelector("[data-show-new]");
  const fresh = new Set();
  const changed = new Set();
  let timer = null;

  const shown = () => [...queue.querySelectorAll(".ticket-row")].map((row) => row.id.slice(1));
  const update = () => {
    timer = null;
    const table = queue.querySelector("[data-rows-url]");
    const numbers = [...changed].filter((number) => shown().includes(number));
    changed.clear();
    const url = table?.dataset.rowsUrl ?? "/tickets/rows/";
    htmx.ajax("GET", `${url}${url.includes("?") ? "&" : "?"}numbers=${numbers}`, { swap: "none" });
    htmx.trigger("#nav-saved", "refresh");
    button.hidden = fresh.size === 0;
    button.querySelector("[data-new-count]").textContent = fresh.size;
  };
  const soon = () => { timer ??= setTimeout(update, 300 + Math.random() * 700); };

  document.addEventListener("desk:event", ({ detail }) => {
    if (detail.topic !== "queue") return;
    if (detail.number === undefined) shown().forEach((number) => changed.add(number));
    else if (shown().includes(String(detail.number))) changed.add(String(detail.number));
    else if (detail.kind === "opened" || detail.kind === "escalated") fresh.add(detail.number);
    soon();
  });
  // A page of its own, with the filters as they stand; as a button of the form its answer would be put into the list.
  document.querySelector("[data-keep-view]")?.addEventListener("click", (event) => {
    event.preventDefault();
    const { form, formAction } = event.currentTarget;
    location.assign(`${formAction}?${new URLSearchParams(new FormData(form))}`);
  });
  button?.addEventListener("click", () => {
    fresh.clear();
    button.hidden = true;
    htmx.ajax("GET", location.pathname + location.search, { target: "#queue" });
  });
}
