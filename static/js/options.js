// A list under the composer: words kept ready (/ or M), articles (I), people (@). Arrows, Enter, Escape; the rest filters.
import { insert } from "./format.js";

const SOURCES = {
  macros: (form) => `/tickets/${form.dataset.ticket}/macros/`,
  people: (form) => `/tickets/${form.dataset.ticket}/people/`,
  articles: (form, q) => `/knowledge/pick/?ticket=${form.dataset.ticket}&q=${encodeURIComponent(q)}`,
};

export function startOptions(form) {
  const text = form.elements.text;
  const box = form.querySelector("[data-options]");
  const filter = box.querySelector("input");
  const list = box.querySelector("[role=listbox]");
  let source = "";
  let from = 0; // where what was chosen goes, and what it replaces
  let to = 0;
  let asked = 0;
  let later = null;

  const shown = () => [...list.querySelectorAll("[role=option]")].filter((one) => !one.hidden);
  const mark = (option) => {
    list.querySelector("[aria-selected=true]")?.setAttribute("aria-selected", "false");
    option?.setAttribute("aria-selected", "true");
    option?.scrollIntoView({ block: "nearest" });
    if (option) filter.setAttribute("aria-activedescendant", option.id); else filter.removeAttribute("aria-activedescendant");
  };
  const load = async () => {
    const mine = ++asked;
    const answer = await fetch(SOURCES[source](form, filter.value), { headers: { "HX-Request": "true" } });
    if (!answer.ok || mine !== asked) return;
    list.innerHTML = await answer.text();
    narrow();
  };
  const narrow = () => {
    const words = filter.value.toLowerCase().split(/\s+/).filter(Boolean);
    if (source !== "articles") {
      for (const one of list.querySelectorAll("[role=option]")) one.hidden = !words.every((word) => one.textContent.toLowerCase().includes(word));
    }
    mark(shown()[0]);
  };
  const open = (name, begin, end) => {
    [source, from, to] = [name, begin, end];
    filter.value = "";
    list.replaceChildren();
    box.hidden = false;
    filter.focus();
    load();
  };
  const close = () => { box.hidden = true; text.focus(); };
  const choose = (option) => {
    if (!option) return;
    box.hidden = true;
    if (option.dataset.macro) chip(option);
    if (option.dataset.kind === "note" && !text.value.trim()) form.querySelector("[name=kind][value=note]")?.click();
    const words = (form.elements.kind.value === "note" && option.dataset.noteText) || option.dataset.text;
    if (words) insert(text, words, { from, to });
    else { insert(text, "", { from, to }); text.focus(); }
    form.dispatchEvent(new Event("desk:written"));
  };
  const chip = (option) => {
    // Without words there is nothing to read first: its changes are made now.
    if (!option.dataset.text) {
      htmx.ajax("POST", `/tickets/${form.dataset.ticket}/macros/apply/`, {
        swap: "none", values: { macro: option.dataset.macro, version: document.getElementById("composer-version").value },
      });
      return;
    }
    const made = document.createElement("span");
    made.className = "badge hold";
    const kept = document.createElement("input");
    kept.type = "hidden";
    kept.name = "macros";
    kept.value = option.dataset.macro;
    const off = document.createElement("button");
    off.type = "button";
    off.className = "btn btn-quiet btn-icon btn-small";
    off.dataset.removeChip = "";
    off.setAttribute("aria-label", `Without ${option.dataset.name}`);
    off.textContent = "×";
    made.append(kept, `With it: ${option.querySelector("small").textContent.split(" · ").pop()}`, off);
    form.querySelector("[data-chips]").append(made);
  };

  form.addEventListener("click", (event) => {
    const button = event.target.closest("[data-open-list]");
    if (button) open(button.dataset.openList, text.selectionStart, text.selectionEnd);
  });
  text.addEventListener("input", (event) => {
    const at = text.selectionStart;
    const before = text.value[at - 2];
    if (event.data === "/" && (at === 1 || before === "\n")) open("macros", at - 1, at);
    else if (event.data === "@" && form.elements.kind.value === "note" && (at === 1 || /\s/.test(before))) open("people", at - 1, at);
  });
  filter.addEventListener("input", () => {
    if (source !== "articles") return narrow();
    clearTimeout(later);
    later = setTimeout(load, 150);
  });
  filter.addEventListener("keydown", (event) => {
    const rows = shown();
    const now = rows.findIndex((one) => one.getAttribute("aria-selected") === "true");
    if (event.key === "ArrowDown") mark(rows[Math.min(rows.length - 1, now + 1)]);
    else if (event.key === "ArrowUp") mark(rows[Math.max(0, now - 1)]);
    else if (event.key === "Enter" || event.key === "Tab") choose(rows[now]);
    else if (event.key === "Escape") close();
    else if (event.key === "Backspace" && !filter.value) close();
    else return;
    event.preventDefault();
    event.stopPropagation();
  });
  list.addEventListener("mousedown", (event) => {
    event.preventDefault();
    choose(event.target.closest("[role=option]"));
  });
  box.addEventListener("focusout", (event) => { if (!box.contains(event.relatedTarget)) box.hidden = true; });
}
