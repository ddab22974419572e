const HANDLING = "Drag or use the arrow keys to pan, + and − or Ctrl and the wheel to zoom: all panes move together. "
  + "The slider moves the divider.";

// A list of images beside the viewer of the one that is chosen in it. `listing(open)` is to return
// its table and lines; an image can be opened where it has `views`. `legend` goes below the viewer,
// `words` below the list.
function gallery(listing, pictures, caption, legend, words) {
  const { table, lines } = listing(open);
  const shown = () => lines.map(({ row }) => row).filter((row) => row.views);
  const view = viewer(pictures, (image, by) => {
    const rows = shown();
    open(rows[(rows.indexOf(image) + by + rows.length) % rows.length]);
  });

  function choose(image) {
    for (const { row, line } of lines) {
      line.classList.toggle("chosen", row === image);
      line.querySelector("button")?.setAttribute("aria-pressed", row === image);
    }
    view.show(image);
  }

  function open(image) {
    choose(image);
    const box = view.root.getBoundingClientRect();
    if (box.top < 0 || box.top > window.innerHeight * 0.7) view.root.scrollIntoView({ block: "start" });
  }

  const place = element("div", { class: "gallery" });
  const [first] = shown();
  if (first) {
    place.append(view.root);
    choose(first);
    view.root.append(legend);
  }
  const listed = { class: "list", tabindex: 0, role: "group", "aria-label": caption };
  place.append(element("div", listed, fitted(table), element("p", { class: "quiet" }, words)));
  return place;
}
