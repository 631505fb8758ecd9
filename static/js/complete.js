// The query box completes names and their values; Tab or Enter takes one, arrows choose, Escape leaves.
let words = null;

export function startCompletion() {
  const box = document.querySelector("[data-complete]");
  if (!box) return;
  const list = document.getElementById(box.getAttribute("aria-controls"));
  let from = 0;
  const close = () => { list.hidden = true; box.setAttribute("aria-expanded", "false"); box.removeAttribute("aria-activedescendant"); };
  const mark = (option) => {
    list.querySelector("[aria-selected=true]")?.setAttribute("aria-selected", "false");
    option?.setAttribute("aria-selected", "true");
    option?.scrollIntoView({ block: "nearest" });
    if (option) box.setAttribute("aria-activedescendant", option.id);
  };
  const offered = () => {
    const before = box.value.slice(0, box.selectionStart);
    const token = before.match(/(?:^|[\s(-])([a-z_]*)((?::|>=|<=|>|<|=)([^\s()]*))?$/i);
    if (!token || !words) return [];
    const [, name, op, value = ""] = token;
    if (op === undefined) {
      from = before.length - name.length;
      return name ? Object.keys(words).filter((one) => one.startsWith(name.toLowerCase()) && one !== name).map((one) => `${one}:`) : [];
    }
    from = before.length - value.length;
    return (words[name.toLowerCase()] ?? []).filter((one) => one.startsWith(value.toLowerCase()) && one !== value);
  };
  const show = () => {
    const found = offered().slice(0, 12);
    list.replaceChildren(...found.map((text, index) => {
      const option = document.createElement("div");
      option.setAttribute("role", "option");
      option.setAttribute("aria-selected", "false");
      option.id = `completion-${index}`;
      option.textContent = text;
      return option;
    }));
    list.hidden = !found.length;
    box.setAttribute("aria-expanded", String(!list.hidden));
    if (list.hidden) close();
  };
  const take = (option) => {
    const text = option.textContent;
    box.setRangeText(text.endsWith(":") ? text : `${text.includes(" ") ? `"${text}"` : text} `, from, box.selectionStart, "end");
    close();
    box.dispatchEvent(new Event("input", { bubbles: true }));
  };
  const fetchWords = async () => {
    if (words) return;
    const answer = await fetch(box.dataset.complete);
    if (answer.ok) { words = await answer.json(); if (document.activeElement === box && box.value) show(); }
  };
  box.addEventListener("focus", fetchWords);
  if (document.activeElement === box) fetchWords(); // it was there before this
  box.addEventListener("input", show);
  box.addEventListener("keydown", (event) => {
    if (list.hidden) return;
    const rows = [...list.children];
    const now = rows.findIndex((one) => one.getAttribute("aria-selected") === "true");
    if (event.key === "ArrowDown") mark(rows[Math.min(rows.length - 1, now + 1)]);
    else if (event.key === "ArrowUp") mark(rows[Math.max(0, now - 1)]);
    else if (event.key === "Tab" || (event.key === "Enter" && now >= 0)) take(rows[Math.max(0, now)]);
    else if (event.key === "Escape") { close(); event.stopPropagation(); }
    else return;
    event.preventDefault();
  });
  list.addEventListener("mousedown", (event) => { event.preventDefault(); const one = event.target.closest("[role=option]"); if (one) take(one); });
  box.addEventListener("blur", close);
}
