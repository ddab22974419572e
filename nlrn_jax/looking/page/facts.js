// How a page came about: [[name, value]...].
function bookkeeping(title, facts) {
  const terms = facts.flatMap(([name, value]) => [
    element("dt", {}, name),
    element("dd", {}, name === "command" || name === "commit" ? code(value) : value),
  ]);
  return element("section", {}, element("h2", {}, title), element("dl", { class: "facts" }, ...terms));
}

function code(text) {
  return element("code", {}, ...text.split(" ").flatMap((word) => [element("span", {}, word), " "]));
}
