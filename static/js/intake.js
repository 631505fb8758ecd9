// A call or chat: the time runs while one writes, also in a tab at the back, and pauses when one says so.
export function startIntake() {
  const box = document.querySelector("[data-timer-box]");
  if (!box) return;
  const shown = document.createElement("span");
  const button = document.createElement("button");
  const field = document.createElement("input");
  Object.assign(field, { type: "hidden", name: "seconds" });
  Object.assign(button, { type: "button", className: "btn btn-small", textContent: "Pause" });
  box.replaceChildren(shown, button, field);
  let before = Number(box.dataset.seconds);
  let since = Date.now();
  const seconds = () => Math.round(before + (since === null ? 0 : (Date.now() - since) / 1000));
  const show = () => {
    field.value = seconds();
    shown.textContent = `${Math.floor(seconds() / 60)}:${String(seconds() % 60).padStart(2, "0")}`;
  };
  show();
  setInterval(show, 1000);
  box.closest("form").addEventListener("submit", show);
  button.addEventListener("click", () => {
    before = seconds();
    since = since === null ? Date.now() : null;
    button.textContent = since === null ? "Go on" : "Pause";
  });
}
