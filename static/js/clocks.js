// SLA chips count down in place; the words are those of the server's `in_words`.
const words = (ms) => {
  const seconds = Math.floor(Math.abs(ms) / 1000);
  if (seconds < 60) return `${seconds} s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return `${minutes} min`;
  const hours = Math.floor(minutes / 60);
  if (hours < 24) return minutes % 60 ? `${hours} h ${String(minutes % 60).padStart(2, "0")}` : `${hours} h`;
  const days = Math.floor(hours / 24);
  return hours % 24 && days < 10 ? `${days} d ${hours % 24} h` : `${days} d`;
};

function tick() {
  const now = Date.now();
  for (const chip of document.querySelectorAll(".sla-chip[data-due]")) {
    const due = Date.parse(chip.dataset.due);
    const left = due - now;
    const text = (left < 0 ? "−" : "") + words(left);
    const label = chip.querySelector("[data-left]");
    if (label.textContent !== text) label.textContent = text;
    const whole = due - Date.parse(chip.dataset.start);
    const breached = left <= 0 || chip.classList.contains("breached");
    chip.classList.toggle("soon", !breached && left <= whole / 4);
    chip.classList.toggle("fine", !breached && left > whole / 4);
    chip.classList.toggle("breached", breached);
    if (breached) chip.querySelector(".visually-hidden").textContent = "Breached by";
    chip.querySelector(".ring circle + circle")?.setAttribute("stroke-dasharray", `${Math.max(0, (100 * left) / whole)} 100`);
  }
}

// How long a reply can still be taken back; once that is over the page looks what became of it.
function countdown() {
  for (const badge of document.querySelectorAll("[data-countdown]")) {
    const left = Math.ceil((Date.parse(badge.dataset.countdown) - Date.now()) / 1000);
    const text = left > 0 ? `Is sent in ${left} s` : "Is being sent";
    const label = badge.lastElementChild;
    if (label.textContent !== text) label.textContent = text;
    if (left < -3 && left % 3 === 0) document.dispatchEvent(new Event("desk:refresh"));
  }
}

export function startClocks() {
  tick();
  countdown();
  setInterval(() => { tick(); countdown(); }, 1000);
}
