// The composer keeps what is typed on the server, and in this browser until the server has it; files go up at once.
import { startFormat } from "./format.js";
import { startOptions } from "./options.js";
import { toast } from "./toasts.js";

const KEEP_AFTER = 700;

export function startComposer() {
  const form = document.querySelector("[data-composer]");
  if (!form) return;
  const text = form.elements.text;
  const state = form.querySelector("[data-draft-state]");
  const local = `desk-writing-${document.body.dataset.user}-${form.dataset.ticket}`;
  let base = form.dataset.keptAt;
  let timer = null;
  let keeping = null; // the keeping that is under way
  let sent = false;

  const fields = () => {
    const data = new FormData(form);
    for (const name of ["files", "then", "when", "go", "send_at"]) data.delete(name);
    if (base) data.set("base", base);
    return data;
  };
  const keep = () => { timer = null; keeping = put().finally(() => { keeping = null; }); };
  const put = async () => {
    try {
      const answer = await fetch(form.dataset.url, { method: "POST", body: fields(), headers: { Accept: "application/json" } });
      if (answer.ok) {
        base = (await answer.json()).kept_at;
        localStorage.removeItem(local);
        state.textContent = text.value ? "Draft kept" : "";
      } else if (answer.status === 409) {
        elsewhere();
      } else state.textContent = "Draft kept in this browser only";
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
    if (text.value) localStorage.setItem(local, JSON.stringify({ text: text.value, base })); else localStorage.removeItem(local);
  };
  // Another browser of ours has written on: neither text is lost, one chooses.
  const elsewhere = async () => {
    const newer = await (await fetch(`${form.dataset.url}newest/`)).json();
    state.textContent = "Written on elsewhere. ";
    const take = document.createElement("button");
    const stay = document.createElement("button");
    for (const [button, label] of [[take, "Take that text"], [stay, "Keep this one"]]) {
      button.type = "button";
      button.className = "btn btn-small";
      button.textContent = label;
      state.append(button);
    }
    take.addEventListener("click", () => { text.value = newer.text; base = newer.kept_at; state.textContent = "Draft kept"; text.focus(); });
    stay.addEventListener("click", () => { base = ""; soon(); text.focus(); });
  };

  const unsaved = JSON.parse(localStorage.getItem(local) ?? "null");
  if (unsaved?.text && unsaved.text !== text.value) {
    // Where another browser wrote on meanwhile, the server says so and one chooses.
    base = text.value ? unsaved.base || new Date(0).toISOString() : base;
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

  startFiles(form, state);
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
    base = "";
    text.value = state.textContent = form.elements.minutes.value = "";
    form.querySelector("[data-chips]").replaceChildren();
    form.querySelector("#draft-files").replaceChildren();
    form.querySelector(".more-send")?.removeAttribute("open");
    form.elements.send_at && (form.elements.send_at.value = "");
    localStorage.removeItem(local);
    seenAll();
  };
  const discard = async () => {
    if (!text.value && !form.querySelector("#draft-files").children.length) return clear();
    const thrown = text.value;
    await fetch(`${form.dataset.url}discard/`, { method: "POST", body: fields(), redirect: "manual" });
    clear();
    state.textContent = "Thrown away. ";
    const back = document.createElement("button");
    back.type = "button";
    back.className = "btn btn-small";
    back.textContent = "Undo";
    back.addEventListener("click", () => { text.value = thrown; soon(); text.focus(); });
    state.append(back);
  };
  // What is sent must not be overtaken by the keeping of it, which would bring it back as a draft.
  form.addEventListener("htmx:confirm", (event) => {
    if (event.detail.elt !== form || !keeping) return;
    event.preventDefault();
    keeping.then(() => event.detail.issueRequest(true));
  });
  form.addEventListener("htmx:beforeRequest", (event) => { if (event.detail.elt === form) { clearTimeout(timer); timer = null; } });
  form.addEventListener("htmx:afterRequest", (event) => {
    if (event.detail.elt !== form) return;
    if (!event.detail.successful) { remember(); return; }
    const kind = form.elements.kind.value;
    clear();
    form.querySelector("#unseen")?.replaceChildren();
    form.querySelector(`[name=kind][value=${kind}]`).checked = true;
    // What waits to be sent is taken back by one key: the focus leaves the text for it.
    if (document.activeElement === text) setTimeout(() => document.querySelector("#pending li:last-child .message")?.focus());
  });
  // Who writes nothing sees what comes in; who is writing is told before it is sent.
  const seenAll = () => {
    const newest = document.getElementById("newest")?.dataset.newest;
    if (newest && !text.value) document.getElementById("composer-seen").value = newest;
  };
  document.addEventListener("htmx:oobAfterSwap", (event) => { if (event.detail.target.id === "newest") setTimeout(seenAll); });
}

function startFiles(form, state) {
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
    const request = new XMLHttpRequest();
    request.open("POST", `${form.dataset.url}files/`);
    request.setRequestHeader("HX-Request", "true");
    request.upload.addEventListener("progress", (event) => { if (event.lengthComputable) bar.value = event.loaded / event.total; });
    request.addEventListener("loadend", () => {
      bar.remove();
      if (request.status === 200) {
        list.insertAdjacentHTML("beforeend", request.responseText);
        htmx.process(list);
        state.textContent = "Attached";
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
}
