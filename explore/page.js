// What the widgets of the panels lack for keyboards and screen readers, added as they appear on the page.
const SPOKEN = ".explore-status";

function slider(handle) {
  const widget = handle.closest(".widget-slider");
  const label = widget.querySelector("label");
  const readout = widget.querySelector(".widget-readout");
  handle.setAttribute("aria-label", label?.textContent ?? "");
  handle.setAttribute("aria-valuetext", readout?.textContent ?? "");
}

function row(line) {
  if (line.querySelector("td.dt-empty, td[colspan]")) return;
  const chosen = String(line.classList.contains("selected"));
  if (line.tabIndex !== 0) line.tabIndex = 0;
  if (line.getAttribute("aria-selected") !== chosen) line.setAttribute("aria-selected", chosen);
}

function pressed(event) {
  const line = event.target.closest?.("table.dataTable tbody tr");
  if (!line || event.target !== line) return;
  const next = { ArrowDown: line.nextElementSibling, ArrowUp: line.previousElementSibling };
  if (event.key in next) next[event.key]?.focus();
  else if (event.key === "Enter" || event.key === " ") line.cells[0].click();
  else return;
  event.preventDefault();
  event.stopPropagation();
}

// In the app: a page whose kernel has ended (a closed lid, a lost connection) says so.
async function ended() {
  const config = JSON.parse(document.getElementById("jupyter-config-data")?.textContent ?? "{}");
  if (!config.kernelId || document.visibilityState !== "visible") return;
  const answer = await fetch(`${config.baseUrl}api/kernels/${config.kernelId}`).catch(() => null);
  const shown = document.querySelector(".explore-ended");
  if (answer?.ok) return shown?.remove();
  const said = shown ?? document.createElement("p");
  said.className = "explore-ended";
  said.setAttribute("role", "alert");
  said.textContent = answer ? "This page has ended. Reload it to go on." : "The server cannot be reached.";
  if (!shown) document.body.prepend(said);
}

function improve() {
  document.querySelectorAll(".widget-slider .noUi-handle").forEach(slider);
  document.querySelectorAll("table.dataTable tbody tr").forEach(row);
  document.querySelectorAll(SPOKEN).forEach((region) => region.setAttribute("role", "status"));
}

function render({ model }) {
  if (!window.exploreObserver) {
    let waiting = false;
    window.exploreObserver = new MutationObserver(() => {
      if (waiting) return;
      waiting = true;
      setTimeout(() => ((waiting = false), improve()), 100);
    });
    const watched = { subtree: true, childList: true, characterData: true, attributes: true, attributeFilter: ["class"] };
    window.exploreObserver.observe(document.body, watched);
    document.addEventListener("keydown", pressed, true);
    document.addEventListener("visibilitychange", ended);
    setInterval(ended, 10_000);
  }
  improve();
  model.send({ opened: true }); // the page may have been made before, from the runs of then
}

export default { render };
