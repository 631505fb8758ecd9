// The composer keeps what was typed (in this browser) until it was sent, and shows which files go along.
export function startComposer() {
  const form = document.querySelector("[data-composer]");
  if (!form) return;
  const text = form.querySelector("[data-draft]");
  const key = `desk-draft-${document.body.dataset.user}-${text.dataset.draft}`;
  const state = form.querySelector("[data-draft-state]");
  const files = form.querySelector("[data-files]");
  const names = form.querySelector("[data-file-names]");

  text.value ||= localStorage.getItem(key) ?? "";
  if (text.value) state.textContent = "Draft kept";
  text.addEventListener("input", () => {
    if (text.value) localStorage.setItem(key, text.value); else localStorage.removeItem(key);
    state.textContent = text.value ? "Draft kept" : "";
  });
  files.addEventListener("change", () => { names.textContent = [...files.files].map((file) => file.name).join(", "); });

  const mode = () => { form.dataset.mode = form.elements.kind.value ?? "reply"; };
  form.addEventListener("change", mode);
  mode();
  for (const tab of form.querySelectorAll(".tab")) {
    tab.addEventListener("click", () => setTimeout(() => text.focus()));
  }
  form.addEventListener("htmx:afterRequest", (event) => {
    if (!event.detail.successful || event.detail.elt !== form) return;
    const kind = form.elements.kind.value;
    text.value = "";
    files.value = "";
    names.textContent = state.textContent = "";
    localStorage.removeItem(key);
    form.querySelector(`[name=kind][value=${kind}]`).checked = true;
  });
}
