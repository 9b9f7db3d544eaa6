// A confusion matrix as an ARIA grid: one tab stop, arrow keys, Enter, Space or a click to choose a cell.
function render({ model, el }) {
  const grid = document.createElement("table");
  grid.className = "confusion-matrix";
  grid.setAttribute("role", "grid");
  grid.setAttribute("aria-label", "Confusion matrix, percent of each true class");
  el.append(grid);
  let cells = [];

  const focus = (row, column) => {
    const last = cells.length - 1;
    const cell = cells[Math.min(Math.max(row, 0), last)][Math.min(Math.max(column, 0), last)];
    cells.flat().forEach((each) => (each.tabIndex = each === cell ? 0 : -1));
    cell.focus();
  };
  const choose = (row, column) => {
    focus(row, column);
    model.set("chosen", [row, column]);
    model.save_changes();
  };
  const keys = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] };

  const mark = () => {
    const [row, column] = model.get("chosen");
    cells.forEach((line, i) =>
      line.forEach((cell, j) => {
        const chosen = i === row && j === column;
        cell.setAttribute("aria-selected", String(chosen));
        cell.tabIndex = chosen ? 0 : -1;
      }),
    );
  };

  const draw = () => {
    const classes = model.get("classes");
    const shown = model.get("cells");
    grid.replaceChildren();
    const head = grid.createTHead().insertRow();
    for (const name of ["true / predicted", ...classes]) {
      const heading = document.createElement("th");
      heading.scope = "col";
      heading.append(Object.assign(document.createElement("span"), { textContent: name }));
      head.append(heading);
    }
    const body = grid.createTBody();
    cells = shown.map((line, i) => {
      const row = body.insertRow();
      const heading = document.createElement("th");
      heading.scope = "row";
      heading.textContent = classes[i];
      row.append(heading);
      return line.map(([text, title, background, colour], j) => {
        const cell = row.insertCell();
        cell.setAttribute("role", "gridcell");
        cell.setAttribute("aria-label", title);
        Object.assign(cell, { textContent: text, title });
        Object.assign(cell.style, { background, color: colour });
        cell.addEventListener("click", () => choose(i, j));
        cell.addEventListener("keydown", (event) => {
          if (keys[event.key]) focus(i + keys[event.key][0], j + keys[event.key][1]);
          else if (event.key === "Home") focus(i, 0);
          else if (event.key === "End") focus(i, classes.length - 1);
          else if (event.key === "Enter" || event.key === " ") choose(i, j);
          else return;
          event.preventDefault();
          event.stopPropagation(); // JupyterLab has keys of its own
        });
        return cell;
      });
    });
    mark();
  };
  model.on("change:cells", draw);
  model.on("change:chosen", mark);
  draw();
}

export default { render };
