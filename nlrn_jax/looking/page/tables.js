// A table whose headers sort it. Columns: {label, value(row), cell(row)}; a value is a number, a
// string, or null, which sorts last. Returns the table and its rows in their present order.
function sortableTable(columns, rows, sorted, caption) {
  const body = element("tbody", { role: "rowgroup" }); // roles stay where CSS makes it no table
  const lines = rows.map((row) => {
    const cells = columns.map((column, index) =>
      element("td", { role: "cell", "data-label": index ? column.label : null }, column.cell(row)));
    return { row, line: element("tr", { role: "row" }, ...cells) };
  });
  const heads = columns.map((column) =>
    element("th", { scope: "col", role: "columnheader" },
      element("button", { type: "button", onclick: () => sort(column) }, column.label)));

  function sort(column, direction = null) {
    const head = heads[columns.indexOf(column)];
    const before = head.getAttribute("aria-sort");
    direction ??= before === "ascending" ? "descending" : "ascending";
    heads.forEach((other) => other.removeAttribute("aria-sort"));
    head.setAttribute("aria-sort", direction);
    const sign = direction === "ascending" ? 1 : -1;
    lines.sort((a, b) => compare(column.value(a.row), column.value(b.row), sign));
    body.append(...lines.map(({ line }) => line));
  }

  if (sorted) sort(sorted, "ascending");
  else body.append(...lines.map(({ line }) => line));
  const table = element("table", { "aria-label": caption, role: "table" },
    element("thead", { role: "rowgroup" }, element("tr", { role: "row" }, ...heads)), body);
  return { table, lines };
}

// Lays a table out as one block for each row, every figure with its label, where it is too wide.
function fitted(table) {
  const place = element("div", { class: "scroll" }, table);
  new ResizeObserver(() => {
    table.classList.remove("blocks");
    table.classList.toggle("blocks", table.scrollWidth > place.clientWidth);
  }).observe(place);
  return place;
}

function compare(a, b, sign) {
  if (a === null || b === null) return (a === null) - (b === null);
  return sign * (typeof a === "string" ? a.localeCompare(b, "en", { numeric: true }) : a - b);
}

const infiniteIfNull = (psnr) => (psnr === undefined ? null : psnr === null ? Infinity : psnr);

function methodCell(method) {
  return element("span", { title: method.run }, method.name, " ", element("small", {}, method.kind));
}

// Means of one benchmark and level: a row for each method.
function meansTable(table, methods) {
  const baseline = methods.find((method) => method.kind === "baseline");
  const means = (method) => table.means[method.name];
  const gain = (method) => {
    const [ours, theirs] = [means(method).psnr, baseline && table.means[baseline.name]?.psnr];
    return method === baseline || typeof ours !== "number" || typeof theirs !== "number" ? null : ours - theirs;
  };
  const columns = [
    { label: "method", value: (m) => m.name, cell: methodCell },
    { label: "PSNR dB", value: (m) => infiniteIfNull(means(m).psnr), cell: (m) => decibels(means(m).psnr) },
    { label: baseline ? `over ${baseline.name} dB` : "gain dB", value: gain, cell: (m) => gained(gain(m)) },
    { label: "SSIM", value: (m) => means(m).ssim ?? null, cell: (m) => similarity(means(m).ssim) },
    { label: "s / megapixel", value: (m) => means(m).seconds_per_megapixel ?? null,
      cell: (m) => seconds(means(m).seconds_per_megapixel) },
    { label: "parameters", value: (m) => m.parameters, cell: (m) => count(m.parameters) },
  ];
  return sortableTable(columns, methods.filter(means), null, `Means, ${table.title}`).table;
}

// All benchmarks and levels side by side, as papers print them.
function overviewTable(tables, methods) {
  const columns = [{ label: "method", value: (m) => m.name, cell: methodCell }];
  for (const table of tables) {
    columns.push({
      label: table.title,
      value: (m) => infiniteIfNull(table.means[m.name]?.psnr),
      cell: (m) => element("span", {}, decibels(table.means[m.name]?.psnr), " ",
        element("small", { class: "ssim" }, similarity(table.means[m.name]?.ssim))),
    });
  }
  return sortableTable(columns, methods, null, "Means of all benchmarks: PSNR in dB, SSIM").table;
}

// The images of one benchmark and level; the least gain first. Those with pictures can be opened.
function imagesTable(table, methods, open) {
  const scored = methods.filter((method) => table.images.some((image) => image.figures[method.name]));
  const gain = { label: "gain dB", value: (image) => image.gain, cell: (image) => gained(image.gain) };
  const columns = [
    { label: "image", value: (image) => image.name, cell: (image) => image.views
      ? element("button", { type: "button", onclick: () => open(image) }, image.name) : image.name },
    gain,
    ...scored.sort((a, b) => (b.name === table.ours) - (a.name === table.ours)).map((method) => ({
      label: `${method.name} dB`,
      value: (image) => infiniteIfNull(image.figures[method.name]?.psnr),
      cell: (image) => decibels(image.figures[method.name]?.psnr),
    })),
  ];
  return sortableTable(columns, table.images, table.ours === null ? columns[0] : gain, `Images, ${table.title}`);
}
