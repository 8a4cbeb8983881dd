"use strict";
(() => {
  const holder = document.getElementById("charts");
  const specs = holder ? JSON.parse(holder.textContent) : {};
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const phone = matchMedia("(max-width: 760px)");

  // Charts take their inks from the style sheet, so that there is one palette for light and one for dark.
  function config() {
    const style = getComputedStyle(document.documentElement);
    const ink = style.getPropertyValue("--ink").trim();
    const soft = style.getPropertyValue("--soft").trim();
    const line = style.getPropertyValue("--line").trim();
    const ground = style.getPropertyValue("--ground").trim();
    const font = getComputedStyle(document.body).fontFamily;
    const limit = phone.matches ? 96 : 230;
    return {
      background: "transparent",
      font,
      view: { stroke: null },
      axis: {
        labelColor: ink, titleColor: soft, gridColor: line, domainColor: line, tickColor: line,
        labelFontSize: 11.5, titleFontSize: 12, titleFontWeight: "normal", titlePadding: 8,
      },
      axisY: { labelLimit: limit },
      legend: {
        labelColor: ink, titleColor: soft, labelFontSize: 12, titleFontSize: 12, titleFontWeight: "normal",
        columns: phone.matches ? 1 : 6, layout: { top: { direction: phone.matches ? "vertical" : "horizontal", anchor: "start", offset: 14, margin: 6 } },
        rowPadding: 4, columnPadding: 16, offset: 14, labelLimit: 200,
      },
      text: { color: soft },
      rule: { color: soft },
      style: { twin: { color: ink }, "twin-around": { color: ground } },
    };
  }

  // The cells of a matrix are squares: it is as tall as its width says, axes and their labels aside.
  const tall = (place, shape) => Math.max(Math.round(shape * (place.clientWidth - 52)), 40);

  const views = new Map();
  async function draw() {
    for (const place of document.querySelectorAll("[data-chart]")) {
      const name = place.dataset.chart;
      views.get(name)?.finalize();
      const { shape, renderer } = specs[name].usermeta ?? {};
      const spec = { ...specs[name], autosize: { type: "fit-x", contains: "padding", resize: true } };
      if (shape) spec.height = tall(place, shape);
      // Switches stand beside the chart, which is one image to a screen reader.
      const bind = document.getElementById(`switches-${name}`);
      bind.replaceChildren();
      const result = await vegaEmbed(place, spec, { actions: false, renderer: renderer ?? "svg", config: config(), bind });
      views.set(name, result);
      await new Promise((resolve) => setTimeout(resolve)); // the page can be read and scrolled between two charts
    }
    document.documentElement.dataset.drawn = String(views.size);
  }
  if (holder) {
    let queue = draw();
    const again = () => { queue = queue.then(draw); };
    dark.addEventListener("change", again);
    phone.addEventListener("change", again);
    addEventListener("resize", () => {
      for (const [name, { view }] of views) {
        const { shape } = specs[name].usermeta ?? {};
        if (shape) view.height(tall(document.getElementById(`chart-${name}`), shape)).runAsync();
      }
    });
  }

  const table = document.querySelector("table.sortable");
  if (!table) return;
  const body = table.tBodies[0];
  const heads = [...table.tHead.rows[0].cells];
  const collator = new Intl.Collator("en", { numeric: true });
  heads.forEach((head, column) => {
    const numeric = head.classList.contains("number") || head.classList.contains("bar");
    head.querySelector("button").addEventListener("click", () => {
      const now = head.getAttribute("aria-sort");
      // Numbers are first sorted from large to small: that is what one looks for.
      const next = now === "none" ? (numeric && column > 0 ? "descending" : "ascending") : now === "ascending" ? "descending" : "ascending";
      heads.forEach((other) => other.setAttribute("aria-sort", "none"));
      head.setAttribute("aria-sort", next);
      const sign = next === "ascending" ? 1 : -1;
      const rows = [...body.rows].map((row) => [row.cells[column].dataset.sort, row]);
      rows.sort(([a], [b]) => {
        if (a === "" || b === "") return (a === "") - (b === ""); // what was not measured stays at the end
        return sign * (numeric ? Number(a) - Number(b) : collator.compare(a, b));
      });
      body.append(...rows.map(([, row]) => row));
    });
  });

  document.getElementById("filter")?.addEventListener("input", (event) => {
    const wanted = event.target.value.toLowerCase();
    for (const row of body.rows) row.hidden = !row.querySelector(".name").dataset.sort.toLowerCase().includes(wanted);
  });
})();
