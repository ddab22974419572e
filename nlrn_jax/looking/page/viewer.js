const MOST_ZOOM = 16;
const STEP = 1.5; // of a button or key

// Shows one image at a time: two of its pictures behind a divider, and all of them below, with
// their figures and error maps where there are any. One zoom and offset, as CSS variables of the root, move every pane.
// `step(image, by)` is to show another one.
function viewer(pictures, step) {
  const state = { zoom: 1, x: 0, y: 0, left: null, right: null, image: null };
  const root = element("div", { class: "viewer", role: "group", "aria-label": "Viewer" });
  const title = element("h3", { "aria-live": "polite" });
  const left = element("select", { "aria-label": "Left picture", onchange: () => choose("left", left.value) });
  const right = element("select", { "aria-label": "Right picture", onchange: () => choose("right", right.value) });
  const split = element("input", {
    type: "range", class: "split", min: 0, max: 100, step: 0.5, value: 50,
    "aria-label": "Divider between the left and the right picture", oninput: moveDivider,
  });
  const sides = { left: side("left"), right: side("right") };
  const main = pane("Comparison", sides.right.img, element("div", { class: "clip" }, sides.left.img),
    element("div", { class: "divider" }), sides.left.tag, sides.right.tag);
  const strip = element("div", { class: "strip" });
  const level = element("output", { class: "quiet" });
  const button = (label, name, act) =>
    element("button", { type: "button", "aria-label": name, onclick: act }, label);

  root.append(
    element("div", { class: "bar" }, title,
      element("div", { class: "group" },
        button("‹", "Previous image", () => step(state.image, -1)), button("›", "Next image", () => step(state.image, 1)))),
    main, split,
    element("div", { class: "bar sides" }, element("label", {}, "left ", left),
      element("div", { class: "group" },
        button("−", "Zoom out", () => zoomTo(state.zoom / STEP)),
        button("+", "Zoom in", () => zoomTo(state.zoom * STEP)),
        button("Fit", "Fit", () => zoomTo(1)), level),
      element("label", {}, "right ", right)),
    strip);
  new ResizeObserver(applyZoom).observe(main);
  moveDivider();
  gestures(root, main, { zoom: () => state.zoom, zoomTo, panBy, divider: () => split.value / 100, divide });
  return { root, show };

  function side(name) {
    return { img: element("img", { alt: "", draggable: "false" }), tag: element("span", { class: `tag ${name}` }) };
  }

  function pane(label, ...children) {
    return element("div", {
      class: "pane", tabindex: 0, role: "group", onkeydown: onKey,
      "aria-label": `${label}. Arrows pan, plus and minus zoom, 0 fits.`,
    }, ...children);
  }

  function show(image) {
    state.image = image;
    const words = [`${image.width} × ${image.height}`, ...image.notes].join(", ");
    title.replaceChildren(image.name, " ", element("small", {}, words));
    const labels = image.views.map((view) => view.label);
    for (const select of [left, right]) select.replaceChildren(...labels.map((l) => element("option", {}, l)));
    choose("left", labels.includes(state.left) ? state.left : image.start[0]);
    choose("right", labels.includes(state.right) ? state.right : image.start[1]);
    strip.replaceChildren(...image.views.map(figure));
    for (const each of root.querySelectorAll(".pane")) each.style.aspectRatio = `${image.width} / ${image.height}`;
    root.style.setProperty("--widest", `calc(78vh * ${image.width / image.height})`);
    zoomTo(1);
  }

  function figure(view) {
    const panes = [pane(view.label, picture(view.picture, view))];
    if (view.error !== null) panes.push(pane(`Error of ${view.label}`, picture(view.error, { label: `Error of ${view.label}` })));
    return element("figure", {}, ...panes, element("figcaption", {}, view.label, element("small", {}, scores(view))));
  }

  function scores({ figures }) {
    return element("span", {}, figures === null ? "" : `${decibels(figures.psnr)} dB, SSIM ${similarity(figures.ssim)}`);
  }

  function picture(index, view) {
    return element("img", { src: pictures[index], alt: view.label, draggable: "false", class: view.low ? "low" : null });
  }

  function choose(name, label) {
    const view = state.image.views.find((each) => each.label === label);
    state[name] = label;
    ({ left, right })[name].value = label;
    const { img, tag } = sides[name];
    img.src = pictures[view.picture];
    img.alt = `${name}: ${label}`;
    img.classList.toggle("low", view.low);
    tag.replaceChildren(element("span", {}, label), " ", scores(view));
  }

  function moveDivider() {
    root.style.setProperty("--split", `${split.value}%`);
    split.setAttribute("aria-valuetext", `${Math.round(split.value)} % left picture`);
  }

  function divide(share) {
    split.value = 100 * share;
    moveDivider();
  }

  function zoomTo(zoom, at = { x: 0.5, y: 0.5 }) {
    zoom = Math.min(MOST_ZOOM, Math.max(1, zoom));
    for (const axis of ["x", "y"]) state[axis] = at[axis] - ((at[axis] - state[axis]) * zoom) / state.zoom;
    state.zoom = zoom;
    applyZoom();
  }

  function panBy(x, y) {
    state.x += x;
    state.y += y;
    applyZoom();
  }

  function applyZoom() {
    for (const axis of ["x", "y"]) {
      state[axis] = Math.min(0, Math.max(1 - state.zoom, state[axis]));
      root.style.setProperty(`--${axis}`, state[axis]);
    }
    root.style.setProperty("--zoom", state.zoom);
    root.classList.toggle("zoomed", state.zoom > 1);
    if (state.image === null) return;
    for (const each of root.querySelectorAll(".pane")) {
      each.classList.toggle("pixels", each.clientWidth * state.zoom > 1.5 * state.image.width);
    }
    level.value = `×${((main.clientWidth * state.zoom) / state.image.width).toPrecision(2)}`;
  }

  function onKey(event) {
    const act = {
      ArrowLeft: () => panBy(0.1, 0), ArrowRight: () => panBy(-0.1, 0),
      ArrowUp: () => panBy(0, 0.1), ArrowDown: () => panBy(0, -0.1),
      "+": () => zoomTo(state.zoom * STEP), "=": () => zoomTo(state.zoom * STEP),
      "-": () => zoomTo(state.zoom / STEP), 0: () => zoomTo(1),
    }[event.key];
    if (!act || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    act();
  }
}
