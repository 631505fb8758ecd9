// The composer keeps what is typed on the server, and in this browser until the server has it; files go up at once.
import { startFormat } from "./format.js";
import { startOptions } from "./options.js";
import { sentJustNow, toast } from "./toasts.js";

const KEEP_AFTER = 700;

export function startComposer() {
  const form = document.querySelector("[data-composer]");
  if (!form) return;
  const text = form.elements.text;
  const state = form.querySelector("[data-draft-state]");
  const local = `desk-writing-${document.body.dataset.user}-${form.dataset.ticket}`;
  const base = form.elements.base; // when the draft of this page was kept last
  const NOTHING = new Date(0).toISOString();
  let timer = null;
  let keeping = null; // the keeping that is under way
  let sent = false;

  const fields = () => {
    const data = new FormData(form);
    for (const name of ["files", "then", "when", "go", "send_at"]) data.delete(name);
    return data;
  };
  const keep = () => { timer = null; keeping = put().finally(() => { keeping = null; }); };
  const put = async () => {
    try {
      const answer = await fetch(form.dataset.url, { method: "POST", body: fields(), headers: { Accept: "application/json" } });
      if (answer.ok) {
        base.value = (await answer.json()).kept_at || NOTHING;
        localStorage.removeItem(local);
        state.textContent = text.value ? "Draft kept" : "";
      } else if (answer.status === 409) {
        compare();
      } else state.textContent = text.value.length > 200_000 ? "Too long to be kept: attach it as a file" : "Draft kept in this browser only";
    } catch {
      state.textContent = "Draft kept in this browser only";
    }
  };
  const soon = () => {
    sent = false;
    remember();
    clearTimeout(timer);
    timer = setTimeout(keep, KEEP_AFTER);
  };
  // What the server does not have yet, with the state of the draft that it was written upon.
  const remember = () => {
    if (text.value) localStorage.setItem(local, JSON.stringify({ text: text.value, base: base.value })); else localStorage.removeItem(local);
  };
  // Words about the draft, with what one may do about it.
  const offer = (words, choices) => {
    state.textContent = `${words} `;
    for (const [label, act] of choices) {
      const button = document.createElement("button");
      button.type = "button";
      button.className = "btn btn-small";
      button.textContent = label;
      button.addEventListener("click", () => { act(); text.focus(); });
      state.append(button);
    }
  };
  // Another window of ours has written on: neither text is lost, one chooses.
  const elsewhere = async () => {
    const newer = await newest();
    const mine = text.value;
    const stay = () => { text.value = mine; base.value = newer.kept_at || NOTHING; soon(); };
    const take = () => {
      text.value = newer.text;
      form.querySelector(`[name=kind][value=${newer.kind}]`)?.click();
      base.value = newer.kept_at || NOTHING;
      offer("That text is here.", [["Undo", stay]]);
    };
    offer("Written on elsewhere.", [["Take that text", take], ["Keep this one", stay]]);
  };
  const newest = async () => (await fetch(`${form.dataset.url}newest/`)).json();
  // After a refusal: what we write on was sent or thrown away in another window, or written on there.
  const compare = async () => {
    const now = await newest();
    if (!now.kept_at) { base.value = NOTHING; if (text.value) state.textContent = "Sent or thrown away in another window"; }
    else if (now.text.trim() === text.value.trim()) base.value = now.kept_at;
    else if (new Date(now.kept_at) > new Date(base.value)) elsewhere();
  };
  addEventListener("pageshow", (event) => { if (event.persisted) compare(); });

  const unsaved = JSON.parse(localStorage.getItem(local) ?? "null");
  if (unsaved?.text && unsaved.text !== text.value) {
    // Where another browser wrote on meanwhile, the server says so and one chooses.
    base.value = text.value ? unsaved.base || NOTHING : base.value;
    text.value = unsaved.text;
    soon();
  }
  text.addEventListener("input", soon);
  form.addEventListener("desk:written", soon);
  addEventListener("pagehide", () => { if (timer && !sent) navigator.sendBeacon(form.dataset.url, fields()); });

  const mode = () => { form.dataset.mode = form.elements.kind.value ?? "reply"; };
  form.addEventListener("change", (event) => { mode(); if (event.target.name === "kind" || event.target.name === "minutes") soon(); });
  mode();
  // A click with the mouse puts the focus on the tab only after it; keys (detail 0) have put it where it belongs.
  for (const tab of form.querySelectorAll(".tab")) tab.addEventListener("click", (event) => { if (event.detail) setTimeout(() => text.focus()); });

  const going = startFiles(form, state); // the files that are on their way
  startFormat(form);
  startOptions(form);
  form.addEventListener("click", (event) => {
    if (event.target.closest("[data-remove-chip]")) { event.target.closest(".badge").remove(); soon(); text.focus(); }
    if (event.target.closest("[data-discard]")) discard();
  });
  const clear = () => {
    clearTimeout(timer);
    timer = null;
    sent = true;
    base.value = NOTHING;
    text.value = state.textContent = form.elements.minutes.value = "";
    form.querySelector("[data-chips]").replaceChildren();
    form.querySelector("#draft-files").replaceChildren();
    form.querySelector(".more-send")?.removeAttribute("open");
    if (form.elements.send_at) form.elements.send_at.value = "";
    sayWhen();
    localStorage.removeItem(local);
    seenAll();
  };
  const discard = async () => {
    if (!text.value && !form.querySelector("#draft-files").children.length) return clear();
    const thrown = text.value, minutes = form.elements.minutes.value;
    const chips = [...form.querySelector("[data-chips]").children];
    const files = form.querySelector("#draft-files").children.length;
    await fetch(`${form.dataset.url}discard/`, { method: "POST", body: fields(), redirect: "manual" });
    clear();
    const back = () => {
      text.value = thrown;
      form.elements.minutes.value = minutes;
      form.querySelector("[data-chips]").append(...chips);
      soon();
    };
    offer(files ? "Thrown away, and its files are gone." : "Thrown away.", [["Undo", back]]);
  };
  // What is sent takes its files along, and must not be overtaken by the keeping of it, which would bring it back as a draft.
  form.addEventListener("htmx:confirm", (event) => {
    if (event.detail.elt !== form || !(keeping || going.size)) return;
    event.preventDefault();
    if (going.size) state.textContent = "Sent as soon as the files are up";
    Promise.all([keeping, ...going]).then((arrived) => {
      if (arrived.includes(false)) state.textContent = "Not sent: a file did not arrive";
      else event.detail.issueRequest(true);
    });
  });
  form.addEventListener("htmx:beforeRequest", (event) => { if (event.detail.elt === form) { clearTimeout(timer); timer = null; } });
  form.addEventListener("htmx:afterRequest", (event) => {
    if (event.detail.elt !== form) return;
    if (!event.detail.successful) { remember(); if (event.detail.xhr.status === 409) compare(); return; }
    const kind = form.elements.kind.value;
    clear();
    form.querySelector("#unseen")?.replaceChildren();
    form.querySelector(`[name=kind][value=${kind}]`).checked = true;
    setTimeout(() => {
      const waits = document.querySelector("#pending li:last-child [data-countdown]");
      if (waits) sentJustNow(waits.parentElement.querySelector("form").getAttribute("action"), Date.parse(waits.dataset.countdown));
    });
    // What waits to be sent is taken back by one key: the focus leaves the text for it.
    if (document.activeElement === text) setTimeout(() => document.querySelector("#pending li:last-child .message")?.focus());
  });
  const sayWhen = () => { form.querySelector("[data-send-words]").textContent = form.elements.send_at?.value ? "Send then" : "Send"; };
  form.elements.send_at?.addEventListener("input", sayWhen);
  // What is wrong in a closed menu opens it.
  form.addEventListener("invalid", (event) => event.target.closest("details")?.setAttribute("open", ""), true);
  // Who writes nothing sees what comes in; who is writing is told before it is sent.
  const seenAll = () => {
    const newest = document.getElementById("newest")?.dataset.newest;
    if (newest && !text.value) document.getElementById("composer-seen").value = newest;
  };
  document.addEventListener("htmx:oobAfterSwap", (event) => { if (event.detail.target.id === "newest") setTimeout(seenAll); });
}

// Sends files up as they are added. Returns those on their way, as promises of whether they arrived.
function startFiles(form, state) {
  const going = new Set();
  const input = form.querySelector("[data-files]");
  const list = form.querySelector("#draft-files");
  const up = (files) => {
    if (!files.length) return;
    const data = new FormData();
    for (const file of files) data.append("files", file);
    data.append("csrfmiddlewaretoken", form.elements.csrfmiddlewaretoken.value);
    const bar = document.createElement("progress");
    bar.max = 1;
    bar.setAttribute("aria-label", `Sending ${files.length === 1 ? files[0].name : `${files.length} files`}`);
    list.append(bar);
    let settle;
    const way = new Promise((resolve) => { settle = resolve; });
    going.add(way);
    const request = new XMLHttpRequest();
    request.open("POST", `${form.dataset.url}files/`);
    request.setRequestHeader("HX-Request", "true");
    request.upload.addEventListener("progress", (event) => { if (event.lengthComputable) bar.value = event.loaded / event.total; });
    request.addEventListener("loadend", () => {
      bar.remove();
      going.delete(way);
      settle(request.status === 200);
      if (request.status === 200) {
        list.insertAdjacentHTML("beforeend", request.responseText);
        htmx.process(list);
        if (!going.size) state.textContent = "Attached";
      } else if (request.status) document.getElementById("toasts").insertAdjacentHTML("beforeend", request.responseText);
      else toast("The files could not be sent: the server could not be reached.");
    });
    request.send(data);
  };
  input.addEventListener("change", () => { up([...input.files]); input.value = ""; });
  form.addEventListener("paste", (event) => {
    if (event.clipboardData.files.length) { event.preventDefault(); up([...event.clipboardData.files]); }
  });
  const holdsFiles = (event) => [...(event.dataTransfer?.types ?? [])].includes("Files");
  form.addEventListener("dragover", (event) => { if (holdsFiles(event)) { event.preventDefault(); form.classList.add("is-drop"); } });
  form.addEventListener("dragleave", (event) => { if (!form.contains(event.relatedTarget)) form.classList.remove("is-drop"); });
  form.addEventListener("drop", (event) => {
    if (!holdsFiles(event)) return;
    event.preventDefault();
    form.classList.remove("is-drop");
    up([...event.dataTransfer.files]);
  });
  return going;
}
