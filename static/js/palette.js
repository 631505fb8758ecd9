// Ctrl K: what the page itself offers by keys, and whatever fits what is typed; arrows and Enter.
export function startPalette() {
  const dialog = document.getElementById("palette");
  if (!dialog) return;
  const input = dialog.querySelector("input");
  const list = dialog.querySelector("[role=listbox]");
  const count = dialog.querySelector("[data-palette-count]");
  let asked = 0;
  let timer = null;

  const options = () => [...list.querySelectorAll("[role=option]")];
  const mark = (option) => {
    list.querySelector("[aria-selected=true]")?.setAttribute("aria-selected", "false");
    option?.setAttribute("aria-selected", "true");
    option?.scrollIntoView({ block: "nearest" });
    if (option) input.setAttribute("aria-activedescendant", option.id); else input.removeAttribute("aria-activedescendant");
  };
  // Acts of this page: whatever carries a key and can be seen, but for the navigation's.
  const acts = () => {
    const words = input.value.toLowerCase().split(/\s+/).filter(Boolean);
    if (!words.length) return null;
    const found = [...document.querySelectorAll("#main [data-key], .topbar [data-key]")].filter((element) => element.offsetParent && !element.matches("input:not([type=checkbox])"));
    const group = document.createElement("div");
    group.setAttribute("role", "group");
    group.setAttribute("aria-label", "On this page");
    for (const element of found) {
      const name = (element.getAttribute("aria-label") ?? element.textContent).replace(/\s+/g, " ").trim();
      if (!words.every((word) => name.toLowerCase().includes(word))) continue;
      const row = document.createElement("div");
      row.className = "choice";
      row.id = `act-${group.children.length}`;
      row.setAttribute("role", "option");
      row.setAttribute("aria-selected", "false");
      const label = document.createElement("span");
      label.textContent = name;
      const key = document.createElement("small");
      key.append(Object.assign(document.createElement("kbd"), { textContent: element.dataset.key.toUpperCase() }));
      row.append(label, key);
      row.addEventListener("desk:go", () => { dialog.close(); document.dispatchEvent(new CustomEvent("desk:act", { detail: element })); });
      group.append(row);
    }
    return group.children.length ? group : null;
  };
  const load = async () => {
    const mine = ++asked;
    const answer = await fetch(`${dialog.dataset.url}?q=${encodeURIComponent(input.value)}`, { headers: { "HX-Request": "true" } });
    if (!answer.ok || mine !== asked) return;
    list.innerHTML = await answer.text();
    const own = acts();
    if (own) list.prepend(own);
    mark(options()[0]);
    count.textContent = `${options().length} found`;
  };
  const open = () => {
    if (dialog.open) { dialog.close(); return; }
    input.value = "";
    dialog.showModal();
    load();
  };
  const go = (option) => {
    if (!option) return;
    if (option.href) location.assign(option.href);
    else option.dispatchEvent(new Event("desk:go"));
  };
  document.addEventListener("keydown", (event) => {
    if ((event.ctrlKey || event.metaKey) && !event.shiftKey && !event.altKey && event.key.toLowerCase() === "k") { event.preventDefault(); open(); }
  });
  document.addEventListener("click", (event) => {
    if (event.target.closest("[data-palette]")) { event.preventDefault(); open(); }
    else if (event.target === dialog) dialog.close();
  });
  input.addEventListener("input", () => { clearTimeout(timer); timer = setTimeout(load, 60); });
  input.addEventListener("keydown", (event) => {
    const rows = options();
    const now = rows.findIndex((one) => one.getAttribute("aria-selected") === "true");
    if (event.key === "ArrowDown") mark(rows[(now + 1) % rows.length]);
    else if (event.key === "ArrowUp") mark(rows[(now - 1 + rows.length) % rows.length]);
    else if (event.key === "Enter") go(rows[now]);
    else return;
    event.preventDefault();
  });
  list.addEventListener("click", (event) => {
    const option = event.target.closest("[role=option]");
    if (option && !option.href) go(option);
  });
}
