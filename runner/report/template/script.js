// The script of a report: values of points, sortable tables, copy buttons, and details in print.
"use strict";

// Values of points: the nearest one to the mouse or finger, or one after the other by arrow keys.
for (const plot of document.querySelectorAll(".plot[data-points]")) {
  const points = JSON.parse(plot.dataset.points);
  const image = plot.querySelector("img");
  const [dot, tip, live] = [".point", ".tip", ".live"].map((name) => plot.querySelector(name));
  let current = -1;

  const hide = () => {
    dot.hidden = tip.hidden = true;
    current = -1;
  };
  const show = (index, speak) => {
    current = index;
    const [x, y, text] = points[index];
    const [left, top] = [x * image.clientWidth, y * image.clientHeight];
    dot.hidden = tip.hidden = false;
    tip.textContent = text;
    dot.style.left = `${left}px`;
    dot.style.top = `${top}px`;
    const room = image.clientWidth - tip.offsetWidth;
    tip.style.left = `${Math.max(0, Math.min(left + 12, room))}px`;
    const above = top - tip.offsetHeight - 12;
    tip.style.top = `${above >= 0 ? above : top + 14}px`;
    if (speak) {
      live.textContent = text;
      const hidden = left - plot.scrollLeft;
      if (hidden < 0 || hidden > plot.clientWidth) plot.scrollLeft = left - plot.clientWidth / 2;
    }
  };
  const nearest = (event, reach) => {
    const box = image.getBoundingClientRect();
    let [best, least] = [-1, reach];
    points.forEach(([x, y], index) => {
      const dx = box.left + x * box.width - event.clientX;
      const dy = box.top + y * box.height - event.clientY;
      const distance = Math.hypot(dx, dy);
      if (distance < least) [best, least] = [index, distance];
    });
    if (best >= 0) show(best, false);
    else hide();
  };
  plot.addEventListener("pointermove", (event) => nearest(event, 24));
  plot.addEventListener("pointerdown", (event) => nearest(event, event.pointerType === "touch" ? 48 : 24));
  plot.addEventListener("pointerleave", (event) => event.pointerType === "touch" || hide());
  plot.addEventListener("blur", hide);
  plot.addEventListener("keydown", (event) => {
    const last = points.length - 1;
    const steps = {
      ArrowRight: current < last ? current + 1 : 0,
      ArrowLeft: current > 0 ? current - 1 : last,
      Home: 0,
      End: last,
    };
    if (event.key === "Escape") hide();
    else if (event.key in steps) {
      show(steps[event.key], true);
      event.preventDefault();
    }
  });
}

// Sortable tables: ascending, descending, then the order of the report. Groups of rows stay apart.
for (const table of document.querySelectorAll("table.sortable")) {
  const heads = [...table.tHead.rows[0].cells];
  const groups = [...table.tBodies].map((body) => ({
    body,
    rows: [...body.rows].filter((row) => !row.querySelector("th")),
  }));
  const key = (row, column) => {
    const cell = row.cells[column];
    return cell.dataset.sort ?? cell.textContent.trim();
  };
  const compare = (a, b) => {
    if (a === "" || b === "") return (a === "") - (b === "");
    return Number.isNaN(a - b) ? a.localeCompare(b) : a - b;
  };
  heads.forEach((head, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => {
      const old = head.getAttribute("aria-sort");
      heads.forEach((other) => other.removeAttribute("aria-sort"));
      const order = { ascending: "descending", descending: "" }[old] ?? "ascending";
      if (order) head.setAttribute("aria-sort", order);
      for (const { body, rows } of groups) {
        const sorted = [...rows];
        if (order) {
          const sign = order === "ascending" ? 1 : -1;
          sorted.sort((a, b) => {
            const [x, y] = [key(a, column), key(b, column)];
            return x === "" || y === "" ? compare(x, y) : sign * compare(x, y);
          });
        }
        body.append(...sorted);
      }
    });
  });
}

// A copy button on each command; without a clipboard, the command is selected.
for (const box of document.querySelectorAll(".command")) {
  const button = document.createElement("button");
  button.type = "button";
  button.className = "copy";
  button.textContent = "Copy";
  const text = box.querySelector("pre");
  button.setAttribute("aria-label", `Copy the command ${text.textContent}`);
  button.addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(text.textContent);
      button.textContent = "Copied";
    } catch {
      getSelection().selectAllChildren(text);
      button.textContent = document.execCommand("copy") ? "Copied" : "Selected";
    }
    setTimeout(() => (button.textContent = "Copy"), 2000);
  });
  box.append(button);
}

// Printed pages show the content of every fold.
const closed = new Set();
addEventListener("beforeprint", () => {
  for (const fold of document.querySelectorAll("details:not([open])")) {
    closed.add(fold);
    fold.open = true;
  }
});
addEventListener("afterprint", () => {
  for (const fold of closed) fold.open = false;
  closed.clear();
});
