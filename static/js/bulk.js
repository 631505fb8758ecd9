// Choosing rows: the bar appears with the first one (by CSS), Shift chooses a range, X the row under the cursor.
export function startBulk() {
  const queue = document.getElementById("queue");
  if (!queue) return;
  let last = null;
  const boxes = () => [...queue.querySelectorAll(".c-check input[name=numbers]")];
  const show = () => {
    const bar = queue.querySelector("[data-bulk-bar]");
    const all = queue.querySelector("[data-pick-all]");
    if (!bar || !all) return;
    const picked = boxes().filter((box) => box.checked).length;
    bar.querySelector("[data-picked]").textContent = `${picked} selected`;
    all.hidden = false;
    all.checked = picked > 0 && picked === boxes().length;
    all.indeterminate = picked > 0 && !all.checked;
  };
  queue.addEventListener("click", (event) => {
    const box = event.target.closest(".c-check input[name=numbers]");
    if (!box) return;
    if (event.shiftKey && last?.isConnected) {
      const every = boxes();
      const [from, to] = [every.indexOf(last), every.indexOf(box)].sort((a, b) => a - b);
      every.slice(from, to + 1).forEach((each) => { each.checked = box.checked; });
    }
    last = box;
    show();
  });
  queue.addEventListener("change", (event) => {
    if (event.target.matches("[data-pick-all]")) boxes().forEach((box) => { box.checked = event.target.checked; });
    show();
  });
  queue.addEventListener("reset", () => setTimeout(show));
  document.addEventListener("keydown", (event) => {
    if (event.key !== "x" || event.target.closest("input:not([type=checkbox]), textarea, select") || localStorage.getItem("desk-keys") === "off") return;
    queue.querySelector(".ticket-row.is-cursor .c-check input")?.click();
  });
  // A row that was swapped for a newer one stays chosen.
  document.addEventListener("htmx:oobBeforeSwap", (event) => {
    const old = event.detail.target.querySelector?.(".c-check input");
    const fresh = event.detail.fragment.querySelector?.(".c-check input");
    if (old?.checked && fresh) fresh.checked = true;
  });
  document.addEventListener("htmx:afterSettle", show);
  show();
}
