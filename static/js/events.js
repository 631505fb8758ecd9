// One stream a browser. The tab that holds the lock opens it for the topics of all tabs and passes
// events on; a tab without a stream polls. An event only says that something changed.
const POLL_EVERY = 15000;
const channel = "BroadcastChannel" in window ? new BroadcastChannel("desk-events") : null;
const seen = new Map(); // topic -> newest cursor that this tab knows
const others = new Map(); // leader only: tab id -> topics
const me = crypto.randomUUID();
let source = null;
let leading = false;
let heard = 0; // when something last came, from the stream or from the leader
// After a restart all browsers of the desk are there at once: each chooses a moment of its own in this many milliseconds.
const SPREAD = 4000;
let wait = SPREAD;

const pageTopics = () =>
  [...document.querySelectorAll("[data-topics]")].flatMap((element) => element.dataset.topics.split(" "));

function live(text, connected) {
  for (const element of document.querySelectorAll("[data-live]")) {
    element.textContent = text;
    element.classList.toggle("is-live", connected);
  }
}

function deliver(event) {
  heard = Date.now();
  if (event.kind === "hello") {
    live("Live", true);
    for (const [topic, cursor] of Object.entries(event.cursors)) noticeCursor(topic, cursor);
    return;
  }
  if (event.cursor !== undefined) seen.set(event.topic, Math.max(event.cursor, seen.get(event.topic) ?? 0));
  if (pageTopics().includes(event.topic)) {
    document.dispatchEvent(new CustomEvent("desk:event", { detail: event }));
  }
}

// A cursor that is newer than the page: something happened while nobody listened.
function noticeCursor(topic, cursor) {
  const element = [...document.querySelectorAll("[data-topics]")].find((e) => e.dataset.topics.split(" ").includes(topic));
  if (!element) return;
  const known = seen.get(topic) ?? Number(element.dataset.cursor || NaN);
  seen.set(topic, cursor);
  if (!Number.isFinite(known) || cursor > known) {
    document.dispatchEvent(new CustomEvent("desk:event", { detail: { topic, kind: "changed", cursor } }));
  }
}

function open() {
  source?.close();
  const topics = [...new Set([...pageTopics(), ...[...others.values()].flat()])];
  if (!topics.length) return;
  const after = topics.filter((t) => seen.has(t)).map((t) => `${t}:${seen.get(t)}`).join(",");
  source = new EventSource(`/events/?topics=${encodeURIComponent(topics)}&after=${encodeURIComponent(after)}`);
  source.onmessage = (message) => {
    wait = SPREAD;
    const event = JSON.parse(message.data);
    channel?.postMessage({ event });
    deliver(event);
  };
  source.onerror = () => {
    source.close();
    live("Reconnecting …", false);
    setTimeout(open, 500 + Math.random() * wait);
    wait = Math.min(wait * 2, 15000);
  };
}

async function poll() {
  if (document.hidden || Date.now() - heard < 2 * POLL_EVERY) return;
  const topics = pageTopics();
  if (!topics.length) return;
  try {
    const answer = await fetch(`/events/?poll=1&topics=${encodeURIComponent(topics)}`);
    if (answer.ok) {
      for (const [topic, cursor] of Object.entries((await answer.json()).cursors)) noticeCursor(topic, cursor);
      live("Updated every 15 s", true);
    }
  } catch {
    live("Not live: the server does not answer", false);
  }
}

export const leads = () => leading;

export function startEvents() {
  const topics = pageTopics();
  if (topics.length) {
    if (channel) {
      channel.onmessage = ({ data }) => {
        if (data.event) deliver(data.event);
        else if (data.hello) channel.postMessage({ tab: me, topics: pageTopics() });
        else if (leading && data.tab) {
          const known = new Set([...pageTopics(), ...[...others.values()].flat()]);
          others.set(data.tab, data.topics);
          if (data.topics.some((topic) => !known.has(topic))) open();
        } else if (leading && data.gone) others.delete(data.gone);
      };
      channel.postMessage({ tab: me, topics });
      addEventListener("pagehide", () => { channel.postMessage({ gone: me }); source?.close(); });
    }
    const lead = () => { leading = true; channel?.postMessage({ hello: true }); open(); };
    if (navigator.locks) navigator.locks.request("desk-events", () => { lead(); return new Promise(() => {}); });
    else lead();
  }
  setInterval(poll, POLL_EVERY);
}
