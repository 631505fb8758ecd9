// Where one came from: the list keeps its place, and a ticket knows the next and the previous one of it.
const KEY = "desk-list";
const kept = () => { try { return JSON.parse(sessionStorage.getItem(KEY)) ?? null; } catch { return null; } };
const keep = (list) => sessionStorage.setItem(KEY, JSON.stringify(list));
const numbersOf = (root) => [...root.querySelectorAll(".ticket-row")].map((row) => Number(row.id.slice(1)));

function onQueue(queue) {
  const remember = () => {
    const numbers = numbersOf(queue);
    if (numbers.length) keep({ url: location.pathname + location.search, numbers, title: document.querySelector("h1")?.textContent ?? "", at: kept()?.at, top: queue.scrollTop });
  };
  const list = kept();
  remember();
  if (list && list.url === location.pathname + location.search) {
    queue.scrollTop = list.top ?? 0;
    const row = document.getElementById(`t${list.at}`);
    if (row) document.dispatchEvent(new CustomEvent("desk:cursor", { detail: row }));
  }
  document.addEventListener("htmx:afterSettle", (event) => { if (event.detail.target?.id === "queue") remember(); });
  addEventListener("pagehide", remember);
  queue.addEventListener("click", (event) => {
    const row = event.target.closest(".ticket-row");
    if (row) keep({ ...kept(), at: Number(row.id.slice(1)), top: queue.scrollTop });
  });
}

// A ticket that the pointer rests on is fetched before the click; events bring it up to date if it grew old meanwhile.
const REST = 90;
function preload() {
  let timer = null;
  document.addEventListener("pointerover", (event) => {
    const link = event.target.closest?.(".ticket-row a.subject, .rows a.main-line[href^='/tickets/']");
    clearTimeout(timer);
    if (!link || navigator.connection?.saveData) return;
    timer = setTimeout(() => {
      document.querySelector("link[rel=prefetch]")?.remove();
      const ahead = document.createElement("link");
      ahead.rel = "prefetch";
      ahead.href = link.href;
      document.head.append(ahead);
    }, REST);
  });
}

// The page after (or before) the one that the list shows, when the ticket is the last of it.
async function further(list, step) {
  const url = new URL(list.url, location.origin);
  const page = Number(url.searchParams.get("page") ?? 1) + step;
  if (page < 1) return null;
  url.searchParams.set("page", page);
  const answer = await fetch(url, { headers: { "HX-Request": "true" } });
  if (!answer.ok) return null;
  const numbers = numbersOf(new DOMParser().parseFromString(await answer.text(), "text/html"));
  if (!numbers.length || numbers.some((number) => list.numbers.includes(number))) return null;
  return { ...list, url: url.pathname + url.search, numbers };
}

function onTicket(number) {
  const list = kept();
  if (!list) return;
  const at = list.numbers.indexOf(number);
  const bar = document.querySelector("[data-neighbours]");
  bar.hidden = false;
  bar.querySelector("[data-back]").href = list.url;
  if (list.title) bar.querySelector("[data-back] span").textContent = list.title;
  if (at < 0) return;
  keep({ ...list, at: number });
  const place = bar.querySelector("[data-place]");
  place.textContent = `${at + 1} of ${list.numbers.length}`;
  const go = (button, step) => {
    const near = list.numbers[at + step];
    button.hidden = false;
    button.addEventListener("click", async () => {
      if (near) { location.assign(`/tickets/${near}/`); return; }
      const more = await further(list, step);
      if (!more) { location.assign(list.url); return; }
      keep(more);
      location.assign(`/tickets/${step > 0 ? more.numbers[0] : more.numbers.at(-1)}/`);
    });
    return near;
  };
  go(bar.querySelector("[data-previous]"), -1);
  const next = go(bar.querySelector("[data-after]"), 1);
  const form = document.querySelector("[data-composer]");
  if (form?.querySelector("[data-send-next]")) {
    form.querySelector("[data-next]").value = next ?? "";
    form.querySelector("[data-send-next]").hidden = false;
  }
}

export function startList() {
  preload();
  const queue = document.getElementById("queue");
  const composer = document.getElementById("ticket");
  if (queue) onQueue(queue);
  else if (composer) onTicket(Number(composer.dataset.number));
}
