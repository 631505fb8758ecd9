// A call or chat: the time runs while one writes, and pauses when one says so.
export function startIntake() {
  const form = document.querySelector("[data-intake]");
  if (!form) return;
  const shown = form.querySelector("[data-timer]");
  const button = form.querySelector("[data-timer-switch]");
  const field = form.querySelector("[data-seconds]");
  let running = true;
  shown.hidden = button.hidden = false;
  const show = () => {
    const seconds = Number(field.value);
    shown.textContent = `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, "0")}`;
  };
  show();
  setInterval(() => { if (running) { field.value = Number(field.value) + 1; show(); } }, 1000);
  button.addEventListener("click", () => {
    running = !running;
    button.textContent = running ? "Pause" : "Go on";
  });
}
