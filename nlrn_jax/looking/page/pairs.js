const data = JSON.parse(document.getElementById("data").textContent);
const page = document.getElementById("page");
page.replaceChildren(element("header", {}, element("h1", {}, data.title)), pairs(),
  bookkeeping("How this was made", data.facts));

function pairs() {
  const listing = (open) => sortableTable([
    { label: "picture", value: (image) => image.name, cell: (image) => named(image, open) },
    { label: "pixels", value: (image) => image.width * image.height, cell: sides },
  ], data.images, null, "Pictures");
  const legend = element("p", { class: "quiet" }, HANDLING);
  return element("section", { class: "pairs" }, element("h2", {}, "Before and after"),
    gallery(listing, data.pictures, "Pictures", legend, data.words));
}

function named(image, open) {
  if (image.views) return element("button", { type: "button", onclick: () => open(image) }, image.name);
  return element("span", {}, image.name, " ", element("small", {}, image.notes.join(", ")));
}

function sides({ width, height }) {
  return width === null ? unknown : `${width} × ${height}`;
}
