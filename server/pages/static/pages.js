// What the pages do beyond HTML: charts with a cursor, figures that refresh, and filters that apply when they change.
// Without this script everything else works. It keeps nothing.
"use strict";
(() => {
  const REFRESH_MS = 10000;
  const formatted = (amount) => amount.toLocaleString("en-US");

  function colour(element, name) {
    return getComputedStyle(element).getPropertyValue(name).trim();
  }

  function plain(tag, text, className) {
    const element = document.createElement(tag);
    if (text !== undefined) element.textContent = text;
    if (className) element.className = className;
    return element;
  }

  function tooltip(plot, data) {
    const tip = plain("div", undefined, "tip");
    tip.hidden = true;
    plot.append(tip);
    return (chart) => {
      const at = chart.cursor.idx;
      tip.hidden = at === null || at === undefined;
      if (tip.hidden) return;
      tip.replaceChildren(plain("strong", data.labels[at]));
      for (const series of data.series) {
        const value = series.values[at];
        if (value === null || (value === 0 && data.series.length > 1)) continue;
        const line = plain("div");
        line.append(plain("span", "", `swatch s${series.colour}`), plain("span", series.name), plain("b", formatted(value)));
        tip.append(line);
      }
      const left = chart.valToPos(at, "x") + chart.bbox.left / devicePixelRatio;
      const width = tip.offsetWidth;
      tip.style.left = `${left + width + 24 > plot.clientWidth ? Math.max(0, left - width - 12) : left + 12}px`;
      tip.style.top = "8px";
    };
  }

  // Stacked bars: each series is drawn from 0 to the sum of all below it and itself, the highest first.
  function barSeries(figure, data) {
    const sums = data.labels.map(() => 0);
    const stacked = data.series.map((series) => series.values.map((value, at) => (sums[at] += value)));
    const bars = uPlot.paths.bars({ size: [0.78, 56] });
    const drawn = data.series.map((series) => {
      const fill = colour(figure, `--s${series.colour}`);
      return { label: series.name, fill, stroke: fill, width: 0, paths: bars, points: { show: false } };
    });
    return { values: stacked.reverse(), series: drawn.reverse() };
  }

  function lineSeries(figure, data) {
    return {
      values: data.series.map((series) => series.values),
      series: data.series.map((series) => ({
        label: series.name, stroke: colour(figure, `--s${series.colour}`), width: 2, points: { show: false },
        dash: series.dashed ? [6, 5] : undefined, fill: series.dashed ? undefined : `${colour(figure, `--s${series.colour}`)}1f`,
      })),
    };
  }

  function draw(figure) {
    const data = JSON.parse(figure.dataset.chart);
    if (!data.series.length || !data.labels.length) return;
    const plot = figure.querySelector(".plot");
    const { values, series } = data.lines ? lineSeries(figure, data) : barSeries(figure, data);
    const muted = colour(figure, "--muted");
    const axis = { stroke: muted, font: "12px Inter, system-ui, sans-serif", ticks: { show: false } };
    const last = data.labels.length - 1;
    const options = {
      width: plot.clientWidth, height: 248, legend: { show: false }, padding: [10, 8, 0, 0],
      cursor: { y: false, points: { show: false }, drag: { x: false, y: false } },
      scales: { x: { time: false, range: [-0.6, last + 0.6] }, y: { range: (_chart, low, high) => [Math.min(0, low), Math.max(1, high) * 1.04] } },
      axes: [
        { ...axis, grid: { show: false }, space: 90, size: 30, incrs: [1, 2, 3, 5, 7, 10, 14, 30, 60, 90],
          values: (_chart, marks) => marks.map((at) => (Number.isInteger(at) && at >= 0 && at <= last ? data.labels[at].replace(/ \d{4}$/, "") : "")) },
        { ...axis, grid: { stroke: colour(figure, "--line"), width: 1 }, size: 64, space: 44, incrs: [1, 2, 5, 10, 20, 50, 100, 200, 500, 1e3, 2e3, 5e3, 1e4, 2e4, 5e4, 1e5, 2e5, 5e5, 1e6, 2e6, 5e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12],
          values: (_chart, marks) => marks.map(formatted) },
      ],
      series: [{}, ...series],
      hooks: { setCursor: [tooltip(plot, data)] },
    };
    plot.querySelector(".drawn")?.remove();
    plot.querySelector(".uplot")?.remove();
    const chart = new uPlot(options, [data.labels.map((_label, at) => at), ...values], plot);
    new ResizeObserver(() => chart.setSize({ width: plot.clientWidth, height: 248 })).observe(plot);
  }

  function drawAll(root) {
    for (const figure of root.querySelectorAll("figure[data-chart]")) draw(figure);
  }

  // Not while somebody reads a menu, marks text, or types: the part that refreshes would be taken from under their hands.
  function isBusy(live) {
    const typing = document.activeElement?.closest("input, select, textarea");
    return document.querySelector(":popover-open") || !document.getSelection().isCollapsed || typing || live.contains(document.activeElement) ||
      live.querySelector("details[open]");
  }

  let lastAnswer;
  function refresh() {
    const live = document.getElementById("live");
    if (live?.hasAttribute("data-live") && document.visibilityState === "visible" && !isBusy(live)) htmx.trigger(live, "refresh");
  }

  document.addEventListener("htmx:beforeSwap", (event) => {
    const { xhr } = event.detail;
    if (xhr.status === 401) location.reload();
    const scrolled = xhr.responseText;
    if (scrolled === lastAnswer) event.detail.shouldSwap = false;
    lastAnswer = scrolled;
  });
  document.addEventListener("htmx:afterSwap", () => drawAll(document));
  // Asked of the document, so that buttons of a part that has refreshed ask, too.
  document.addEventListener("click", (event) => {
    const button = event.target.closest("[data-confirm]");
    if (button && !confirm(button.dataset.confirm)) event.preventDefault();
  });

  document.addEventListener("DOMContentLoaded", () => {
    for (const field of document.querySelectorAll("[data-time-zone]")) field.value = Intl.DateTimeFormat().resolvedOptions().timeZone ?? "";
    for (const form of document.querySelectorAll("form[data-filters]")) form.addEventListener("change", (event) => { if (event.target.matches("select")) form.requestSubmit(); });
    drawAll(document);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => drawAll(document));
    setInterval(refresh, REFRESH_MS);
  });
})();
