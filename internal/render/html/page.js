"use strict";
(function () {
  const byId = (id) => document.getElementById(id);
  const find = byId("search");
  if (!find) return;
  document.documentElement.classList.add("js");
  const rows = Array.from(document.querySelectorAll(".row"));
  const tiles = Array.from(document.querySelectorAll("button.tile"));
  const keys = ["action", "app", "env", "store"];
  const selects = keys.map((k) => byId("by-" + k));
  const texts = rows.map((r) => r.textContent.toLowerCase());
  const shown = byId("shown");
  const toggle = byId("toggle");

  function apply() {
    const words = find.value.toLowerCase().split(/\s+/).filter(Boolean);
    let n = 0;
    rows.forEach((row, i) => {
      const fits = keys.every((k, j) => selects[j].value === "" || row.dataset[k] === selects[j].value) &&
        words.every((w) => texts[i].includes(w));
      row.hidden = !fits;
      if (fits) n++;
    });
    shown.textContent = n === rows.length ? n + " shown" : n + " of " + rows.length + " shown";
    byId("none").hidden = n > 0;
    tiles.forEach((t) => t.setAttribute("aria-pressed", String(t.dataset.filter === selects[0].value)));
  }

  function openAll(open) {
    rows.forEach((r) => { if (!r.hidden) r.open = open; });
    toggle.setAttribute("aria-pressed", String(open));
    toggle.textContent = open ? "Close all" : "Open all";
  }

  find.addEventListener("input", apply);
  selects.forEach((s) => s.addEventListener("change", apply));
  find.form.addEventListener("submit", (e) => e.preventDefault());
  byId("clear").addEventListener("click", () => {
    find.form.reset();
    apply();
    find.focus();
  });
  toggle.addEventListener("click", () => openAll(toggle.getAttribute("aria-pressed") !== "true"));
  tiles.forEach((t) => t.addEventListener("click", () => {
    const same = selects[0].value === t.dataset.filter;
    selects[0].value = same ? "" : t.dataset.filter;
    apply();
  }));

  document.addEventListener("keydown", (e) => {
    const typing = e.target.closest && e.target.closest("input, select, textarea");
    if (e.key === "/" && !typing && !e.ctrlKey && !e.metaKey && !e.altKey) {
      e.preventDefault();
      find.focus();
      find.select();
    } else if (e.key === "Escape" && e.target === find) {
      find.value = "";
      apply();
      find.blur();
    } else if (e.key === "Escape") {
      const row = document.activeElement.closest(".row[open]");
      if (row) {
        row.open = false;
        row.querySelector("summary").focus();
      }
    }
  });

  // On paper every row that is shown is open.
  let opened = [];
  window.addEventListener("beforeprint", () => {
    opened = Array.from(document.querySelectorAll("details:not([open])")).filter((d) => !d.hidden);
    opened.forEach((d) => { d.open = true; });
  });
  window.addEventListener("afterprint", () => opened.forEach((d) => { d.open = false; }));
})();
