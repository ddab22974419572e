const REACH = 16; // CSS pixels from the divider within which it is grabbed

// Lets pointers and the wheel act on the panes of a viewer. One pointer pans, or moves the divider
// of the main pane; two pinch. Control and the wheel zoom: a plain wheel scrolls the page.
function gestures(root, main, view) {
  const held = new Map(); // pointers that are down: the newest event of each
  let grabbed = null; // box of the pane, and whether its divider is moved

  root.addEventListener("pointerdown", (event) => {
    const pane = event.target.closest(".pane");
    if (!pane || event.button !== 0) return;
    held.set(event.pointerId, event);
    pane.setPointerCapture(event.pointerId);
    if (held.size > 1) return;
    const box = pane.getBoundingClientRect();
    const near = Math.abs(event.clientX - box.left - box.width * view.divider()) < REACH;
    grabbed = { box, divides: pane === main && (near || view.zoom() === 1) };
  });

  root.addEventListener("pointermove", (event) => {
    const before = held.get(event.pointerId);
    if (!before) return;
    const pinched = held.size === 2 ? middle(held) : null;
    held.set(event.pointerId, event);
    const { box, divides } = grabbed;
    if (pinched) {
      const now = middle(held);
      view.zoomTo((view.zoom() * now.distance) / Math.max(pinched.distance, 1), within(box, now));
      pan(box, pinched, now);
    } else if (divides) {
      view.divide(within(box, event).x);
    } else {
      pan(box, before, event);
    }
  });

  for (const end of ["pointerup", "pointercancel"]) {
    root.addEventListener(end, (event) => held.delete(event.pointerId));
  }

  root.addEventListener("wheel", (event) => {
    const pane = event.target.closest(".pane");
    if (!pane || !(event.ctrlKey || event.metaKey)) return;
    event.preventDefault();
    view.zoomTo(view.zoom() * Math.exp(-event.deltaY / 200), within(pane.getBoundingClientRect(), event));
  }, { passive: false });

  function pan(box, from, to) {
    view.panBy((to.clientX - from.clientX) / box.width, (to.clientY - from.clientY) / box.height);
  }
}

function within(box, { clientX, clientY }) {
  return { x: (clientX - box.left) / box.width, y: (clientY - box.top) / box.height };
}

function middle(pointers) {
  const [a, b] = pointers.values();
  return {
    distance: Math.hypot(a.clientX - b.clientX, a.clientY - b.clientY),
    clientX: (a.clientX + b.clientX) / 2,
    clientY: (a.clientY + b.clientY) / 2,
  };
}
