const data = JSON.parse(document.getElementById("data").textContent);
const page = document.getElementById("page");
// Pictures first, what was measured below them, bookkeeping last.
const sections = [...data.tables.map(benchmark), overview(), training(), explanations(),
  bookkeeping("How this was measured", data.facts)].filter(Boolean);
page.replaceChildren(element("header", {}, element("h1", {}, data.title), contents()), ...sections);

function contents() {
  sections.forEach((section, index) => { section.id = `part-${index}`; });
  const links = sections.map((section) =>
    element("a", { href: `#${section.id}` }, section.querySelector("h2").textContent));
  return element("nav", { class: "quiet", "aria-label": "Contents" }, ...links);
}

function overview() {
  if (data.tables.length < 2) return null;
  return element("section", {}, element("h2", {}, "Overview"),
    element("p", { class: "quiet" }, "Mean PSNR in dB, and SSIM."),
    element("div", { class: "means" }, fitted(overviewTable(data.tables, data.methods))));
}

function benchmark(table) {
  return element("section", {}, element("h2", {}, table.title), ...images(table),
    element("h3", {}, "Means"), element("div", { class: "means" }, fitted(meansTable(table, data.methods))));
}

function images(table) {
  if (table.images.length === 0) return [];
  const pictured = table.images.filter((image) => image.views);
  const gain = table.ours === null ? "" : `Gain is that of ${table.ours}; the least comes first. `;
  const rest = pictured.length < table.images.length
    ? `Of ${pictured.length} of ${table.images.length} images the pictures are in this page: those of least and of greatest gain. ` : "";
  const listing = (open) => imagesTable(table, data.methods, open);
  return [gallery(listing, data.pictures, `Images, ${table.title}`, legend(), gain + rest)];
}

function legend() {
  const colours = data.palette.map((rgb) => `rgb(${rgb.join(" ")})`).join(", ");
  const bar = element("span", { class: "scale", style: `background: linear-gradient(90deg, ${colours})` });
  return element("div", {},
    element("div", { class: "legend quiet" }, "error 0", bar, `${data.error_levels} grey levels or more`),
    element("p", { class: "quiet" }, "Below each picture: its absolute difference from the original, the mean of the channels. ",
      HANDLING));
}

function training() {
  if (data.curves.length === 0) return null;
  return element("section", {}, element("h2", {}, "Training"),
    element("p", { class: "quiet" }, "Gain of PSNR over the input, on the batches of training and in validation."), curves(data.curves));
}

function explanations() {
  if (data.explanations.length === 0) return null;
  return element("section", {}, element("h2", {}, "What the network looks at"),
    element("p", { class: "quiet" }, "From the framed position: its weights in each state, bright in proportion to the greatest, ",
      "over the picture; below, the output after that state. “Positions” is the exponential of the weights’ entropy: ",
      "over so many the network averages."),
    ...data.explanations.map(({ name, picture }) => element("figure", { class: "explanation" },
      element("div", { class: "scroll", tabindex: 0, role: "group", "aria-label": name },
        element("img", { src: data.pictures[picture], alt: `What the network looks at: ${name}` })),
      element("figcaption", {}, name))));
}
