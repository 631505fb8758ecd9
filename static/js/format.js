// The toolbar over the text: marks around what is selected, at the begin of lines, a link, a preview; a quotation.
export function insert(text, words, { from = text.selectionStart, to = text.selectionEnd, select = null } = {}) {
  text.focus();
  text.setSelectionRange(from, to);
  // Kept in the browser's own undo, where it can.
  if (!document.execCommand("insertText", false, words)) text.setRangeText(words, from, to, "end");
  if (select) text.setSelectionRange(from + select[0], from + select[1]);
  text.dispatchEvent(new Event("desk:written", { bubbles: true }));
}

export function startFormat(form) {
  const text = form.elements.text;
  const bar = form.querySelector("[data-format]");
  const preview = form.querySelector("#composer-preview");
  const look = form.querySelector("[data-preview]");
  bar.hidden = false;

  const wrap = (mark) => {
    const picked = text.value.slice(text.selectionStart, text.selectionEnd);
    insert(text, mark + picked + mark, { select: [mark.length, mark.length + picked.length] });
  };
  const line = (mark) => {
    const from = text.value.lastIndexOf("\n", text.selectionStart - 1) + 1;
    const picked = text.value.slice(from, text.selectionEnd);
    insert(text, picked.split("\n").map((one) => mark + one).join("\n"), { from });
  };
  const link = () => {
    const picked = text.value.slice(text.selectionStart, text.selectionEnd);
    const address = /^https?:\/\//.test(picked);
    const words = address ? `[](${picked})` : `[${picked}](https://)`;
    insert(text, words, { select: address ? [1, 1] : [words.length - 9, words.length - 1] });
  };
  const show = async () => {
    const on = look.getAttribute("aria-pressed") !== "true";
    if (on) {
      const data = new FormData();
      data.set("text", text.value);
      data.set("csrfmiddlewaretoken", form.elements.csrfmiddlewaretoken.value);
      const answer = await fetch("/tickets/preview/", { method: "POST", body: data });
      if (!answer.ok) return;
      preview.innerHTML = await answer.text();
    }
    look.setAttribute("aria-pressed", String(on));
    preview.hidden = !on;
    text.hidden = on;
    if (!on) text.focus();
  };
  bar.addEventListener("click", (event) => {
    const button = event.target.closest("button");
    if (button?.dataset.wrap) wrap(button.dataset.wrap);
    else if (button?.dataset.line) line(button.dataset.line);
    else if (button && "link" in button.dataset) link();
    else if (button === look) show();
  });
  form.addEventListener("htmx:afterRequest", () => { if (!preview.hidden) show(); });
  text.addEventListener("keydown", (event) => {
    if (!(event.ctrlKey || event.metaKey) || event.altKey || event.shiftKey) return;
    const key = event.key.toLowerCase();
    if (key === "b" || key === "i") { event.preventDefault(); wrap(key === "b" ? "**" : "*"); }
  });

  // What is selected in a message is quoted by Q.
  document.addEventListener("keydown", (event) => {
    const picked = getSelection();
    if (event.key.toLowerCase() !== "q" || event.ctrlKey || event.metaKey || event.altKey || localStorage.getItem("desk-keys") === "off") return;
    if (event.target.closest("input, textarea, select") || document.querySelector("dialog[open]")) return;
    const message = picked.anchorNode?.parentElement?.closest(".message");
    if (!message || picked.isCollapsed) return;
    event.preventDefault();
    const words = picked.toString().trim().split("\n").map((one) => `> ${one}`).join("\n");
    insert(text, `${text.value && !text.value.endsWith("\n") ? "\n\n" : ""}${words}\n\n`, { from: text.value.length, to: text.value.length });
  });
}
