"use strict";
// Two menus hide the rows of other verdicts and of other experiments; without script all rows show.
(() => {
  const menus = [...document.querySelectorAll("select[data-filter]")];
  const rows = [...document.querySelectorAll("tr[data-verdict]")];
  const count = document.querySelector("#count");
  const apply = () => {
    let shown = 0;
    for (const row of rows) {
      row.hidden = menus.some((menu) => menu.value && row.dataset[menu.dataset.filter] !== menu.value);
      shown += row.hidden ? 0 : 1;
    }
    for (const part of document.querySelectorAll("section[data-experiment]")) {
      part.hidden = !part.querySelector("tr[data-verdict]:not([hidden])");
    }
    count.textContent = `${shown} of ${rows.length} claims`;
  };
  menus.forEach((menu) => menu.addEventListener("change", apply));
  document.querySelector("#filters").hidden = false;
  apply();
})();
