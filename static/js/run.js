// A run, watched: output is fetched by sequence number, so a reload or a lost stream loses no line.
const MOST_LINES = 6000; // in the page at a time; the rest is a scroll or a search away

export function startRun() {
  const page = document.querySelector("[data-run]");
  if (!page) return;
  const log = page.querySelector("[data-log]");
  const lines = log.querySelector("ol");
  const follow = page.querySelector("[data-follow]");
  const find = page.querySelector("[data-find]");
  const matches = page.querySelector("[data-matches]");
  const hits = page.querySelector("[data-hits]");
  const earlier = page.querySelector("[data-earlier]");
  let after = Number(log.dataset.after);
  let fetching = false;
  let again = log.dataset.more === "1" && follow.checked;

  const toEnd = () => { if (follow.checked) log.scrollTop = log.scrollHeight; };
  const first = () => Number(lines.querySelector("li[data-n]")?.dataset.n ?? 1);
  const trim = () => {
    while (lines.children.length > MOST_LINES) lines.firstElementChild.remove();
    earlier.hidden = first() <= 1;
  };
  const ask = (query) => fetch(`${page.dataset.outputUrl}?${query}`, { headers: { "HX-Request": "true" } });

  async function fetchOutput() {
    if (fetching) { again = true; return; }
    fetching = true;
    try {
      do {
        again = false;
        const answer = await ask(`after=${after}`);
        if (!answer.ok) break;
        const html = await answer.text();
        const next = Number(answer.headers.get("Desk-After"));
        if (next > after) {
          after = next;
          lines.insertAdjacentHTML("beforeend", html);
          trim();
          toEnd();
        }
        again ||= answer.headers.get("Desk-More") === "1" && follow.checked;
      } while (again);
    } finally {
      fetching = false;
    }
  }
  // The page from one line on; later output is appended to it when one scrolls down or follows.
  async function show(line, mark) {
    follow.checked = false;
    const answer = await ask(`line=${line}`);
    if (!answer.ok) return;
    lines.innerHTML = await answer.text();
    after = Number(answer.headers.get("Desk-After"));
    trim();
    const wanted = mark && lines.querySelector(`li[data-n="${mark}"]`);
    for (const one of lines.querySelectorAll(".hit")) one.classList.remove("hit");
    if (wanted) { wanted.classList.add("hit"); wanted.scrollIntoView({ block: "center" }); } else log.scrollTop = line < 0 ? log.scrollHeight : 0;
  }
  const state = () => htmx.ajax("GET", page.dataset.stateUrl, { swap: "none" });

  document.addEventListener("desk:event", ({ detail }) => {
    if (!detail.topic.startsWith("run.")) return;
    if (detail.kind !== "state") fetchOutput();
    if (detail.kind !== "output") { state(); fetchOutput(); }
  });
  log.addEventListener("wheel", (event) => { if (event.deltaY < 0) follow.checked = false; }, { passive: true });
  log.addEventListener("scroll", () => { if (log.scrollTop + log.clientHeight > log.scrollHeight - 40) fetchOutput(); }, { passive: true });
  follow.addEventListener("change", () => { if (follow.checked) show(-400).then(() => { follow.checked = true; toEnd(); fetchOutput(); }); });
  page.querySelector("[data-head]").addEventListener("click", () => show(0));
  page.querySelector("[data-tail]").addEventListener("click", () => show(-400));
  earlier.addEventListener("click", () => show(Math.max(0, first() - 1000), first()));
  page.querySelector("[data-wrap]").addEventListener("change", (event) => log.toggleAttribute("data-nowrap", !event.target.checked));
  page.querySelector("[data-times]").addEventListener("change", (event) => log.toggleAttribute("data-notimes", !event.target.checked));

  // In the page at once, in the whole output on Enter.
  find?.addEventListener("input", () => {
    const wanted = find.value.toLowerCase();
    let count = 0;
    for (const line of lines.children) {
      const hit = wanted !== "" && line.textContent.toLowerCase().includes(wanted);
      line.classList.toggle("hit", hit);
      if (hit && count++ === 0) line.scrollIntoView({ block: "center" });
    }
    matches.textContent = wanted ? `${count} lines here, Enter searches all` : "";
    if (!wanted) hits.hidden = true;
  });
  page.querySelector("[data-find-form]").addEventListener("submit", async (event) => {
    event.preventDefault();
    if (!find.value) return;
    matches.textContent = "Searching …";
    const answer = await fetch(`${page.dataset.findUrl}?q=${encodeURIComponent(find.value)}`, { headers: { "HX-Request": "true" } });
    if (!answer.ok) { matches.textContent = "The search failed; try again."; return; }
    hits.innerHTML = await answer.text();
    hits.hidden = false;
    matches.textContent = `${hits.querySelectorAll("li").length} lines in all`;
  });
  hits.addEventListener("click", (event) => {
    const link = event.target.closest("[data-line]");
    if (!link) return;
    event.preventDefault();
    const number = Number(link.dataset.line);
    const here = lines.querySelector(`li[data-n="${number}"]`);
    if (here) { follow.checked = false; for (const one of lines.querySelectorAll(".hit")) one.classList.remove("hit"); here.classList.add("hit"); here.scrollIntoView({ block: "center" }); } else show(Math.max(0, number - 200), number);
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
