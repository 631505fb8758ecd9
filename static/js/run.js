// A run, watched: output is fetched by sequence number, so a reload or a lost stream loses no line.
export function startRun() {
  const page = document.querySelector("[data-run]");
  if (!page) return;
  const log = page.querySelector("[data-log]");
  const lines = log.querySelector("ol");
  const follow = page.querySelector("[data-follow]");
  const find = page.querySelector("[data-find]");
  const matches = page.querySelector("[data-matches]");
  let after = Number(log.dataset.after);
  let fetching = false;
  let again = log.dataset.more === "1";

  const toEnd = () => { if (follow.checked) log.scrollTop = log.scrollHeight; };

  async function fetchOutput() {
    if (fetching) { again = true; return; }
    fetching = true;
    try {
      do {
        again = false;
        const answer = await fetch(`${page.dataset.outputUrl}?after=${after}`, { headers: { "HX-Request": "true" } });
        if (!answer.ok) break;
        const html = await answer.text();
        const next = Number(answer.headers.get("Desk-After"));
        if (next > after) {
          after = next;
          lines.insertAdjacentHTML("beforeend", html);
          toEnd();
        }
        again ||= answer.headers.get("Desk-More") === "1";
      } while (again);
    } finally {
      fetching = false;
    }
  }
  const state = () => htmx.ajax("GET", page.dataset.stateUrl, { swap: "none" });

  document.addEventListener("desk:event", ({ detail }) => {
    if (!detail.topic.startsWith("run.")) return;
    if (detail.kind !== "state") fetchOutput();
    if (detail.kind !== "output") { state(); fetchOutput(); }
  });
  log.addEventListener("wheel", (event) => { if (event.deltaY < 0) follow.checked = false; }, { passive: true });
  follow.addEventListener("change", toEnd);
  find?.addEventListener("input", () => {
    const wanted = find.value.toLowerCase();
    let count = 0;
    for (const line of lines.children) {
      const hit = wanted !== "" && line.textContent.toLowerCase().includes(wanted);
      line.classList.toggle("hit", hit);
      if (hit && count++ === 0) line.scrollIntoView({ block: "center" });
    }
    matches.textContent = wanted ? `${count} lines` : "";
  });
  // The time that a running step has taken.
  setInterval(() => {
    for (const time of document.querySelectorAll("[data-since]")) {
      const seconds = Math.max(0, Math.round((Date.now() - Date.parse(time.dataset.since)) / 1000));
      time.textContent = seconds < 60 ? `${seconds} s` : `${Math.floor(seconds / 60)} min ${seconds % 60} s`;
    }
  }, 1000);
  toEnd();
  if (again) fetchOutput();
}
